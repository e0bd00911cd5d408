"""Damage that readers must survive."""

from __future__ import annotations

import random

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, *, cut: bool = False) -> bytes:
    """Draw a copy of a file in which one to six bytes are others; with `cut`, up to half of it is missing."""
    broken = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        broken[draw(st.integers(0, len(broken) - 1))] = draw(st.integers(0, 255))
    if cut:
        del broken[draw(st.integers(len(broken) // 2, len(broken))) :]
    return bytes(broken)


def damaged_database(data: bytes, seed: int) -> bytes:
    """Change a few bytes behind the header, overwrite or clear a page, or cut the end."""
    rng, changed = random.Random(seed), bytearray(data)
    how = seed % 4
    if how == 0:
        for _ in range(rng.choice([1, 10, 100])):
            changed[rng.randrange(100, len(data))] = rng.randrange(256)
    elif how == 1:
        start, size = rng.randrange(100, len(data) - 4096), rng.choice([16, 512, 4096])
        changed[start : start + size] = rng.randbytes(size)
    elif how == 2:
        start = rng.randrange(1, len(data) // 4096) * 4096
        changed[start : start + 4096] = bytes(4096)
    else:
        del changed[rng.randrange(200, len(data)) :]
    return bytes(changed)
