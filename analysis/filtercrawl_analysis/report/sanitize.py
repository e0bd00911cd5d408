"""Text from outside, as the page shows it."""

from __future__ import annotations

from markupsafe import Markup


def sanitize(value: object) -> object:
    """Replace unprintable characters in text: control characters, and marks that change the reading direction."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)
