"""Damage that readers must survive."""

from __future__ import annotations

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
