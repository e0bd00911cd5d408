"""JSON of untrusted files: how much it holds is counted before it is parsed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from filtercrawl.api.errors import FormatError, UnsafeFileError

# Values of one text; each takes some hundred bytes of memory. The header of 262,144 tensors has 3.4 million.
MAX_VALUES: Final = 4_000_000
# Digits of an integer: enough for any of 64 bits, and few enough to say later which one is too large.
_MAX_DIGITS: Final = 40

Pairs = list[tuple[str, Any]]


def parse_json(data: bytes, name: str, make_object: Callable[[Pairs], Any] | None = None) -> Any:
    """Parse a text.

    Args:
        data: The text, in UTF-8.
        name: What to call it in messages: a file, or an entry of one.
        make_object: Makes an object of its pairs; None for a dict.

    Raises:
        FormatError: It is not valid JSON, or has an integer of more than 40 digits.
        UnsafeFileError: It has more values than any checkpoint needs.
    """
    # Every value but the first of a list or an object follows a comma; those within texts are counted as well.
    count = sum(map(data.count, (b",", b"[", b"{")))
    if count > MAX_VALUES:
        raise UnsafeFileError(f"{name}: has {count:,} values of JSON, at most {MAX_VALUES:,} are supported")
    try:
        return json.loads(data, object_pairs_hook=make_object, parse_int=_parse_integer)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name}: is not valid JSON ({error})") from error


def _parse_integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)
