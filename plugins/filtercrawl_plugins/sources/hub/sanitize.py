"""Text from cards and names of files: bounded, printable, or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

_LONGEST: Final = 200
_SPACE: Final = re.compile(r"\s+")


def sanitize_text(value: object, longest: int = _LONGEST) -> str | None:
    """Return a string on one line; None for what is no text, is too long, or cannot be shown."""
    if not isinstance(value, str):
        return None
    text = _SPACE.sub(" ", value).strip()
    return text if text and len(text) <= longest and text.isprintable() else None


def sanitize_list(values: object, most: int = 64) -> tuple[str, ...]:
    """Return the distinct sound strings of a list, or of one string, in their order."""
    return tuple(dict.fromkeys(_sound(values)))[:most]


def _sound(values: object) -> Iterator[str]:
    items: list[Any] = values if isinstance(values, list) else [values]
    for item in items:
        if text := sanitize_text(item):
            yield text
