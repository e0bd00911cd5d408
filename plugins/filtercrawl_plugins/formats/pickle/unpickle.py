"""Reads one pickle as data: nothing that it names is imported, nothing that it asks for is called."""

from __future__ import annotations

from dataclasses import dataclass

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.machine import MEMORY_BUDGET, OPCODE_COST, Machine
from filtercrawl_plugins.formats.pickle.object_opcodes import OPCODE_HANDLERS
from filtercrawl_plugins.formats.pickle.objects import PickledStorage


@dataclass(frozen=True, slots=True)
class Unpickled:
    """The object of a pickle, as `filtercrawl_plugins.formats.pickle.objects`, and its storages by key."""

    value: object
    storages: dict[str, PickledStorage]


def unpickle(cursor: Cursor, budget: int = MEMORY_BUDGET) -> Unpickled:
    """Read the pickle at the cursor and leave the cursor behind it.

    Raises FormatError where it breaks the protocol, TruncatedError where it ends early, UnsafeError where it
    asks for more memory than the budget, in bytes.
    """
    machine = Machine(cursor, budget)
    code = 0
    try:
        while not machine.stopped:
            code = cursor.read_byte()
            machine.charge(OPCODE_COST)
            OPCODE_HANDLERS[code](machine)
        value = machine.stack[-1]
    except IndexError:
        detail = "it takes more from its stack than it holds"
        raise FormatError(corrupt_pickle_error(cursor, code, detail)) from None
    except KeyError:
        raise FormatError(corrupt_pickle_error(cursor, code, "there is no such opcode")) from None
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(corrupt_pickle_error(cursor, code, str(error))) from error
    return Unpickled(value, machine.storages)


def corrupt_pickle_error(cursor: Cursor, code: int, detail: str) -> str:
    return f"{cursor.file.name}: broken pickle before byte {cursor.position}, at opcode 0x{code:02x}: {detail}"
