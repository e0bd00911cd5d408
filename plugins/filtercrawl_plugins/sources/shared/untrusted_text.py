"""Text and numbers from outside (model cards, manifests, configs) that are safe to store and to print."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LENGTH: Final = 200
_WHITESPACE: Final = re.compile(r"\s+")


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


def is_finite_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number that a float can hold: an integer of JSON may have thousands of digits."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def _valid_texts(values: object) -> Iterator[str]:
    items: list[Any] = values if isinstance(values, list) else [values]
    for item in items:
        if text := sanitize_text(item):
            yield text
