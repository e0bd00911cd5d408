"""Ways in which the bytes of a file are damaged: a reader has to end each of them in an error of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

# Lengths and offsets stand within the first bytes of most formats; each is set to its largest value once.
_FIELDS: Final = 64
_FIELD_SIZES: Final = (4, 8)
# What is overwritten at random lies in the header, at the beginning of the file or, as in archives, at its end.
_HEADER: Final = 1024
_RANDOM: Final = 48
_MAX_OVERWRITTEN: Final = 8


def damaged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what is wrong with a version of a file, and its bytes; always the same versions, none of an empty file."""
    if not data:
        return
    for size in _FIELD_SIZES:
        for offset in range(0, min(_FIELDS, len(data) - size + 1), size):
            yield f"with all bits of bytes {offset} to {offset + size} set", _overwritten(data, offset, b"\xff" * size)
    draw = random.Random(0)  # noqa: S311 - which bytes are damaged is no secret
    for number in range(_RANDOM):
        offset = draw.randrange(min(_HEADER, len(data)))
        if number % 4 == 3:
            offset = len(data) - 1 - offset
        new = draw.randbytes(draw.randint(1, min(_MAX_OVERWRITTEN, len(data) - offset)))
        yield f"with bytes {offset} to {offset + len(new)} overwritten by {new.hex()}", _overwritten(data, offset, new)


def _overwritten(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]
