"""Names from outside in figures: on one line, short, distinct, and with glyphs for every character."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

from filtercrawl.api.formatting import shorten

# Ships with matplotlib: the same glyphs on every machine.
FONT: Final = "DejaVu Sans"


def label(text: object, length: int = 32) -> str:
    """Make text from outside fit for a figure: one line, printable, shortened in the middle to `length` characters.

    A character for which the font has no glyph is written as its code point, such as `U+1F680`.
    """
    return shorten(_drawable("unknown" if text is None else str(text)), length)


def labels(names: Sequence[object], length: int = 32) -> list[str]:
    """Return the label of each name; of names that differ, no two labels are equal.

    Names that would be shortened to the same label begin where they differ; if that is not enough, they are numbered.
    """
    short = [label(name, length) for name in names]
    for text in sorted({text for text in short if short.count(text) > 1}):
        members = [i for i, other in enumerate(short) if other == text]
        full = [_drawable(str(names[i])) for i in members]
        start = max(_shared_start(full) - 3, 0)
        tails = ["…" + shorten(name[start:], length - 1) for name in full]
        for number, (i, tail) in enumerate(zip(members, tails, strict=True), 1):
            short[i] = tail if len(set(tails)) == len(tails) else f"{shorten(full[number - 1], length - 4)} #{number}"
    return short


def _shared_start(lines: Sequence[str]) -> int:
    """Return the number of leading characters that all lines have in common."""
    first, last = min(lines), max(lines)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _drawable(text: str) -> str:
    """Return text on one line: spaces for control characters, code points for characters without a glyph."""
    printable = (c if c.isprintable() else " " for c in text if not _is_variation_selector(c))
    drawable = (c if c == " " or ord(c) in _glyphs() else f" U+{ord(c):04X} " for c in printable)
    return " ".join("".join(drawable).split())


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FontProperties(family=FONT))).get_charmap())
