"""Names from outside in figures: on one line, short, distinct, and with glyphs for every character."""

from __future__ import annotations

from bisect import bisect_left
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
    return shorten(_drawable(text), length)


def labels(names: Sequence[object], length: int = 32) -> list[str]:
    """Return the label of each name; of names that differ, no two labels are equal.

    Of paths that are too long, the folders are left out that all of these begin with, and then what lies in a folder of
    this name alone: `local/files/yolox_nano/model.onnx` is `…/yolox_nano/model.onnx` or `…/yolox_nano/…`. Names that
    would still be shortened to the same label begin where they differ; if that is not enough, they are numbered.
    """
    short = [shorten(text, length) for text in _distinct_parts(list(map(_drawable, names)), length)]
    places: dict[str, list[int]] = {}
    for i, text in enumerate(short):
        places.setdefault(text, []).append(i)
    for members in (places[text] for text in sorted(places) if len(places[text]) > 1):
        full = [_drawable(names[i]) for i in members]
        start = max(_shared_start(full) - 3, 0)
        tails = ["…" + shorten(name[start:], length - 1) for name in full]
        for number, (i, tail) in enumerate(zip(members, tails, strict=True), 1):
            short[i] = tail if len(set(tails)) == len(tails) else f"{shorten(full[number - 1], length - 4)} #{number}"
    return short


def _distinct_parts(names: Sequence[str], length: int) -> list[str]:
    """Return the names, those of more than `length` characters without the parts that do not tell them apart.

    At least one part of each name is kept; of a single long name, those at its end that fit, or the last.
    """
    paths = {name: name.split("/") for name in names if len(name) > length}
    most = min(map(len, paths.values()), default=1) - 1
    if len(paths) == 1:
        (parts,) = paths.values()
        start = next((i for i in range(most) if len("/".join(parts[i:])) + 2 <= length), most)
    else:
        start = next((i for i in range(most) if len({path[i] for path in paths.values()}) > 1), most)
    ordered = sorted(set(names))
    return [_shortest_distinct(name, start, ordered, length) if name in paths else name for name in names]


def _shortest_distinct(name: str, start: int, ordered: Sequence[str], length: int) -> str:
    """Return a path without its first `start` parts, and if it is too long, without last ones that it can spare.

    Args:
        name: The path.
        start: Number of parts.
        ordered: All distinct names, sorted: those in one folder are next to each other.
        length: Characters that are not too many.
    """
    parts, head = name.split("/"), "…/" if start else ""
    found = head + "/".join(parts[start:])
    for end in range(len(parts) - 1, start, -1):
        folder = "/".join(parts[:end]) + "/"
        second = bisect_left(ordered, folder) + 1  # the first one there may be this one
        if len(found) <= length or (second < len(ordered) and ordered[second].startswith(folder)):
            break
        found = f"{head}{'/'.join(parts[start:end])}/…"
    return found


def _shared_start(lines: Sequence[str]) -> int:
    """Return the number of leading characters that all lines have in common."""
    first, last = min(lines), max(lines)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _drawable(name: object) -> str:
    """Return a name on one line: spaces for control characters, code points for characters without a glyph."""
    text = "unknown" if name is None else str(name)
    printable = (c if c.isprintable() else " " for c in text if not _is_variation_selector(c))
    drawable = (c if c == " " or ord(c) in _glyphs() else f" U+{ord(c):04X} " for c in printable)
    return " ".join("".join(drawable).split())


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(findfont(FontProperties(family=FONT))).get_charmap())
