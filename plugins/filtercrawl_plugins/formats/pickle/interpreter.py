"""State of the pickle interpreter: stack, marks and memo, within the budget of the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from filtercrawl_plugins.formats.pickle.objects import EncodedText

if TYPE_CHECKING:
    from filtercrawl_plugins.formats.budget import Budget
    from filtercrawl_plugins.formats.pickle.cursor import Cursor
    from filtercrawl_plugins.formats.pickle.objects import PickledStorage

# Costs in bytes: of a number, of another small object, of an entry of the memo, of an object with a dictionary.
NUMBER_COST: Final = 32
SMALL_OBJECT_COST: Final = 64
MEMO_COST: Final = 96
LARGE_OBJECT_COST: Final = 200

OpcodeHandler = Callable[["Machine"], None]
# Handlers by opcode byte; `literal_opcodes` and `object_opcodes` register them on import.
OPCODE_HANDLERS: dict[int, OpcodeHandler] = {}


def opcode(codes: bytes) -> Callable[[OpcodeHandler], OpcodeHandler]:
    """Return a decorator that registers a function as the handler of each opcode in `codes`."""

    def register(function: OpcodeHandler) -> OpcodeHandler:
        OPCODE_HANDLERS.update(dict.fromkeys(codes, function))
        return function

    return register


class Machine:
    """The state that opcode handlers work on; see `pickletools` of the standard library for the opcodes.

    Attributes:
        cursor: Where the arguments of opcodes are read from.
        text: Decodes long text that stands for bytes.
        stack: Objects above the topmost mark.
        marks: Stacks below each mark, the innermost last.
        memo: Objects by memo index.
        storages: The first persistent storage of each key.
        budget: The budget of the checkpoint.
        stopped: Whether STOP has been executed.
    """

    def __init__(self, cursor: Cursor, budget: Budget) -> None:
        self.cursor = cursor
        self.text = EncodedText(cursor.file)
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, PickledStorage] = {}
        self.budget = budget
        self.stopped = False

    def charge(self, cost: int) -> None:
        """Charge bytes before the memory is allocated; raises UnsafeFileError if the budget is exhausted."""
        self.budget.allocate(cost)

    def read_bytes(self, length: int) -> bytes:
        """Read a string of the stream and charge for it."""
        self.charge(SMALL_OBJECT_COST + length)
        return self.cursor.read(length)

    def push_mark(self) -> None:
        """Start a new stack above a mark."""
        self.charge(SMALL_OBJECT_COST)
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[object]:
        """Remove the topmost mark and return what was pushed above it."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def memo_put(self, index: int) -> None:
        """Store the top of the stack in the memo."""
        if not 0 <= index < 1 << 32:
            raise ValueError("memo index out of range")
        self.charge(MEMO_COST)
        self.memo[index] = self.stack[-1]

    def memo_get(self, index: int) -> None:
        """Push an object of the memo."""
        try:
            self.stack.append(self.memo[index])
        except KeyError:
            raise ValueError("a memo index is read before it is written") from None
