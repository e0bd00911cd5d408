"""Text from outside (file names, model cards, manifests) made safe to store and to print."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LENGTH: Final = 200
_WHITESPACE: Final = re.compile(r"\s+")
# What `escape_name` writes; a name that already contains it would be ambiguous.
_ESCAPE: Final = re.compile(r"\\(x[0-9a-f]{2}|U[0-9a-f]{8})")


def is_safe_name(name: str) -> bool:
    """Return whether a name is printable, valid UTF-8 and contains nothing that looks like an escape sequence."""
    return name.isprintable() and not _ESCAPE.search(name)


def escape_name(name: str) -> str:
    r"""Escape a name that `is_safe_name` rejects, so that it can be printed: `\xff` for a byte that is not UTF-8.

    The mapping is injective: different names stay different, and no result equals a name that needs no escape.
    """
    return "".join(_escape(char) for char in name)


def _escape(char: str) -> str:
    code = ord(char)
    if char.isprintable() and char != "\\":
        return char
    # os.fsdecode represents a byte that is not UTF-8 as a lone surrogate, U+DC80 to U+DCFF.
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code & 0xFF:02x}"
    return f"\\U{code:08x}"


def sanitize_text(value: object, max_length: int = _MAX_LENGTH) -> str | None:
    """Return a string on one line, runs of whitespace collapsed.

    Returns:
        None if the value is not a string, is blank, is longer than `max_length` characters or is not printable.
    """
    if not isinstance(value, str):
        return None
    text = _WHITESPACE.sub(" ", value).strip()
    return text if text and len(text) <= max_length and text.isprintable() else None


def sanitize_list(values: object, max_items: int = 64) -> tuple[str, ...]:
    """Return the distinct valid strings of a list (or of a single string), in order; see `sanitize_text`."""
    return tuple(dict.fromkeys(_valid_texts(values)))[:max_items]


def _valid_texts(values: object) -> Iterator[str]:
    items: list[Any] = values if isinstance(values, list) else [values]
    for item in items:
        if text := sanitize_text(item):
            yield text
