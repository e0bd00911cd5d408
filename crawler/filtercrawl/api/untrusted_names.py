r"""Names from outside (of files, tensors and dtypes) as they are stored: printable, and valid Unicode.

One rule for all of them: a name that is not printable is escaped, `\x1b` for an escape character and `\U0000202e` for
a change of the writing direction, where it enters. Tables, CSV files, logs and terminals then need no care.
"""

from __future__ import annotations

import re
from typing import Final

# What `escape_name` writes; a name that already contains it would be ambiguous.
_ESCAPE: Final = re.compile(r"\\(x[0-9a-f]{2}|U[0-9a-f]{8})")


def is_text(value: object) -> bool:
    """Tell whether a value is text that can be written as UTF-8: a lone surrogate cannot."""
    if not isinstance(value, str):
        return False
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_safe_name(name: str) -> bool:
    """Return whether a name is printable, valid UTF-8 and contains nothing that looks like an escape sequence."""
    return name.isprintable() and not ("\\" in name and _ESCAPE.search(name))


def escape_name(name: str) -> str:
    r"""Escape a name that `is_safe_name` rejects, so that it can be printed: `\xff` for a byte that is not UTF-8.

    The mapping is injective: different names stay different, and no result equals a name that needs no escape.
    """
    return "".join(_escape(char) for char in name)


def safe_name(name: str) -> str:
    """Return a name as it is stored: escaped where `is_safe_name` rejects it."""
    return name if is_safe_name(name) else escape_name(name)


def _escape(char: str) -> str:
    code = ord(char)
    if char.isprintable() and char != "\\":
        return char
    # os.fsdecode represents a byte that is not UTF-8 as a lone surrogate, U+DC80 to U+DCFF.
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code & 0xFF:02x}"
    return f"\\U{code:08x}"
