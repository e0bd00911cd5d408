"""Jinja templates for text and Markdown."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from filtercrawl.api.formatting import format_count, format_plural, format_size

if TYPE_CHECKING:
    import jinja2

__all__ = ["text_environment"]


@cache
def text_environment(package: str, escape_text: Callable[[str], str]) -> jinja2.Environment:
    """Return a Jinja environment for the folder `templates` of a package.

    Args:
        package: Import name.
        escape_text: The filter `text`, which templates apply to all text from outside: it makes the text harmless in
            the output format.
    """
    import jinja2  # takes a while, and only few commands render text

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=False,  # noqa: S701 - the output is not HTML; templates escape with the filter `text`
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "text": lambda value: escape_text(str(value)),
        "count": format_count,
        "plural": format_plural,
        "size": format_size,
    }
    return environment
