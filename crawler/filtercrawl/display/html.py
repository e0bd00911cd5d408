"""HTML of reports, for `_repr_html_` in notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from itertools import islice
from typing import Final

from filtercrawl.api.formatting import escape_control

# Rows of a table, so that ten thousand failures do not make a notebook unusable.
MAX_ROWS: Final = 20


def html_table(caption: str, rows: Mapping[str, object] | Iterable[tuple[str, object]]) -> str:
    """Return a table of two columns, names and values.

    Names and values may come from files and servers: both are escaped.

    Args:
        caption: The heading of the table.
        rows: Values by name; those after the first 20 are counted in a last row.
    """
    pairs = iter(rows.items() if isinstance(rows, Mapping) else rows)
    shown = [f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in islice(pairs, MAX_ROWS)]
    if left := sum(1 for _ in pairs):
        shown.append(f"<tr><td>{left:,} more</td><td></td></tr>")
    return f"<table><caption>{_text(caption)}</caption>{''.join(shown)}</table>"


def _text(value: object) -> str:
    return escape(escape_control(value))
