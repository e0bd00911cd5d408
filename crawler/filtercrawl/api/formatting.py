"""Format numbers and text for people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

# Below this ratio of difflib a name is not said to be like another one.
_SIMILAR: Final = 0.6
# Characters of a text, and items of a list, that `shown` writes.
_SHOWN: Final = 60
_SHOWN_ITEMS: Final = 8


def escape_control(text: object) -> str:
    """Return text with every character that is not printable replaced, so that a terminal can show it."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))


def shown(value: object) -> str:
    """Write any value as short printable ASCII."""
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to write a very long one
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, list | tuple):
        some = ", ".join(shown(item) for item in value[:_SHOWN_ITEMS])
        return f"[{some}{', ...' if len(value) > _SHOWN_ITEMS else ''}]"
    if isinstance(value, str):
        return ascii(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    if isinstance(value, bool | int | float | None):
        return ascii(value)
    return f"a {type(value).__name__}"


def shorten(text: str, length: int) -> str:
    """Return text of at most `length` characters, with the middle left out where it is longer."""
    head = (length - 1) // 2
    return text if len(text) <= length else f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def shorten_words(text: str, length: int = 60) -> str:
    """Return text with words of more than `length` characters shortened, as names of models may be."""
    return re.sub(r"\S+", lambda word: shorten(word[0], length), text)


def format_count(number: float) -> str:
    """Format a count with thousands separators: `1,141,435`."""
    return f"{number:,.0f}"


def format_plural(number: int, noun: str) -> str:
    """Format a count with its noun: `1 layer`, `12 kernels`."""
    return f"{format_count(number)} {noun}{'' if number == 1 else 's'}"


def verb(number: int, singular: str, plural: str) -> str:
    """Return the form of a verb that agrees with a number: `1 of 9 layers is dead`, `2 of 9 layers are dead`."""
    return singular if number == 1 else plural


def unknown_name(name: str, known: Iterable[str]) -> str:
    """Describe a name that is not known: the known name that is most like it, or else all known names.

    Returns:
        For example `'job'; did you mean 'jobs'?` or `'quantum'; known are jobs, limit`.
    """
    names = {other.lower(): other for other in sorted(known)}
    similar = difflib.get_close_matches(name.lower(), names, 1)
    if similar:
        return f"{name!r}; did you mean {names[similar[0]]!r}?"
    return f"{name!r}; known are {', '.join(names.values()) or 'none'}"


def unknown_column(name: str, known: Iterable[str]) -> str:
    """Describe a column that is not known, by the known ones that are most like it; there are too many to list.

    Returns:
        For example `'famly'; the nearest are family, file; the page Schema of the documentation lists all`.
    """
    names = {other.lower(): other for other in sorted(known)}
    similar = [names[other] for other in difflib.get_close_matches(name.lower(), names, 3, _SIMILAR)]
    verb = "is" if len(similar) == 1 else "are"
    nearest = f"the nearest {verb} {', '.join(similar)}; " if similar else ""
    return f"{name!r}; {nearest}the page Schema of the documentation lists all"


def format_counts(counts: Mapping[str, int]) -> str:
    """Format counts of several things, the most frequent first: `a JSON document (12), a PNG image (1)`."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} ({format_count(count)})" for name, count in ranked)


def format_size(number: float) -> str:
    """Format a number of bytes with a decimal unit: `78 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
