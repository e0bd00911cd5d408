"""Read one pickle as data, without importing or calling anything it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats.pickle.interpreter import Machine
from filtercrawl_plugins.formats.pickle.object_opcodes import OPCODE_HANDLERS

if TYPE_CHECKING:
    from filtercrawl_plugins.formats.budget import Budget
    from filtercrawl_plugins.formats.pickle.cursor import Cursor
    from filtercrawl_plugins.formats.pickle.objects import PickledStorage


@dataclass(frozen=True, slots=True)
class Unpickled:
    """A pickle as data.

    Attributes:
        value: A plain value, a container, or one of the classes in `filtercrawl_plugins.formats.pickle.objects`.
        storages: The storages that its tensors refer to, by key.
    """

    value: object
    storages: dict[str, PickledStorage]


def unpickle(cursor: Cursor, budget: Budget) -> Unpickled:
    """Read the pickle at the cursor, protocols 0 to 5, and leave the cursor after its STOP opcode.

    Args:
        cursor: Position of the first opcode.
        budget: The budget of the checkpoint: an opcode is a step, and objects take memory.

    Raises:
        FormatError: The stream violates the protocol.
        TruncatedError: The stream ends early.
        UnsafeFileError: There are more opcodes or objects than the budget allows.
    """
    machine = Machine(cursor, budget)
    code = 0
    try:
        while not machine.stopped:
            code = cursor.read_byte()
            budget.steps -= 1
            if budget.steps < 0:
                raise budget.exceeded("steps")
            OPCODE_HANDLERS[code](machine)
        value = machine.stack[-1]
    except IndexError:
        raise _format_error(cursor, code, "the stack is empty") from None
    except KeyError:
        raise _format_error(cursor, code, "there is no such opcode") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise _format_error(cursor, code, str(error)) from error
    return Unpickled(value, machine.storages)


def _format_error(cursor: Cursor, code: int, detail: str) -> FormatError:
    return FormatError(
        f"{cursor.file.name}: invalid pickle before byte {cursor.position}, at opcode 0x{code:02x}: {detail}"
    )
