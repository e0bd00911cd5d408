"""Numbers and text formatted for people."""

from __future__ import annotations


def escape_control(text: object) -> str:
    """Make text from outside safe for a terminal: no control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))


def format_count(number: float) -> str:
    """Write a count for people: 1,141,435."""
    return f"{number:,.0f}"


def format_plural(number: int, thing: str) -> str:
    """Write a number of things: 1 layer, 12 kernels."""
    return f"{format_count(number)} {thing}{'' if number == 1 else 's'}"


def format_size(number: float) -> str:
    """Write bytes for people: 78 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
