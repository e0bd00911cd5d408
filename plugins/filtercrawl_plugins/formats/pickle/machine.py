"""The state of a pickle while it is read: stack, memo, and a budget that no stream can exceed."""

from __future__ import annotations

from collections.abc import Callable

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import PickledStorage

# Bytes of memory that the objects of one pickle may take, as estimated; it bounds the number of opcodes too.
MEMORY_BUDGET = 268_435_456
OPCODE_COST, SMALL_OBJECT_COST, LARGE_OBJECT_COST = 32, 64, 200

OpcodeHandler = Callable[["Machine"], None]
OPCODE_HANDLERS: dict[int, OpcodeHandler] = {}


def opcode(codes: bytes) -> Callable[[OpcodeHandler], OpcodeHandler]:
    """Register what the opcodes of these bytes do."""

    def register(function: OpcodeHandler) -> OpcodeHandler:
        OPCODE_HANDLERS.update(dict.fromkeys(codes, function))
        return function

    return register


class Machine:
    """Where the opcodes of one pickle work; storages are kept by key as they are first named."""

    def __init__(self, cursor: Cursor, budget: int = MEMORY_BUDGET) -> None:
        self.cursor = cursor
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, PickledStorage] = {}
        self.remaining_budget = budget
        self.stopped = False

    def charge(self, cost: int) -> None:
        """Pay for memory before it is taken; raises UnsafeError when the budget is spent."""
        self.remaining_budget -= cost
        if self.remaining_budget < 0:
            raise UnsafeFileError(
                f"{self.cursor.file.name}: its pickle asks for too many objects; it is not read further"
            )

    def read_bytes(self, length: int) -> bytes:
        """Take a string of the stream, paid for."""
        self.charge(SMALL_OBJECT_COST + length)
        return self.cursor.read(length)

    def push_mark(self) -> None:
        self.charge(SMALL_OBJECT_COST)
        self.marks.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[object]:
        """Take what was pushed since the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def memo_put(self, index: int) -> None:
        if not 0 <= index < 1 << 32:
            raise ValueError("a memo number that is none")
        self.charge(SMALL_OBJECT_COST)
        self.memo[index] = self.stack[-1]

    def memo_get(self, index: int) -> None:
        try:
            self.stack.append(self.memo[index])
        except KeyError:
            raise ValueError("it asks for a memo that was never put") from None
