"""Tables on the page: the rows that are shown, their anchors, and the format of their cells."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import Finding, ResultTable

# Rows of a table on the page, beside those that findings are derived from; the files have all.
MAX_ROWS: Final = 30
# Columns of text that state results, and so do not identify a row.
_OUTCOMES: Final = frozenset({"verdict", "note", "mode"})


@dataclass(frozen=True, kw_only=True)
class RowView:
    """A row on the page.

    Attributes:
        cells: Its formatted values.
        anchor: The id that findings link to; None for a row that no finding is derived from.
        skipped: The rows that are left out directly before it.
    """

    cells: tuple[str, ...]
    anchor: str | None
    skipped: int


def row_anchor(table: str, row: int) -> str:
    """Return the id of a row on the page."""
    return f"row-{table}-{row + 1}"


def cited_rows(findings: Sequence[Finding | str], table: str) -> set[int]:
    """Return the rows of a table that findings are derived from."""
    ours = (finding for finding in findings if isinstance(finding, Finding) and finding.table == table)
    return {row for finding in ours for row in finding.rows}


def table_view(table: ResultTable, cited: Collection[int], total: int | None = None) -> dict[str, Any]:
    """Return what the template shows of a table: its first rows, and every row in `cited`.

    Args:
        table: The table.
        cited: Rows that findings are derived from.
        total: Number of rows, if there are more than `table.rows`.
    """
    held = table.rows.num_rows
    total = held if total is None else total
    shown = sorted({*range(min(MAX_ROWS, held)), *cited})
    shown_rows = table.rows.take(pa.array(shown, pa.int64()))
    columns = [[cell(value) for value in column.to_pylist()] for column in shown_rows.columns]
    before = [-1, *shown]
    return {
        "name": table.name,
        "title": table.title,
        "about": table.about,
        "columns": [{"name": field.name, "numeric": _is_numeric(field.type)} for field in table.rows.schema],
        "rows": [
            RowView(
                cells=cells,
                anchor=row_anchor(table.name, row) if row in cited else None,
                skipped=row - previous - 1,
            )
            for row, previous, cells in zip(shown, before, zip(*columns, strict=True), strict=False)
        ],
        "total": total,
        "first": min(MAX_ROWS, held),
        "cited_below": sum(row >= MAX_ROWS for row in cited),
        "tests": count_tests(table),
    }


def count_tests(table: ResultTable) -> dict[str, int]:
    """Return the number of tests behind each column of adjusted p-values, `q` or `q_NAME`: its values, without null.

    None of an excerpt, as the tests are those of the whole table.
    """
    rows = table.rows
    if table.excerpt_of is not None:
        return {}
    return {
        name: len(rows) - rows[name].null_count
        for name in rows.column_names
        if (name == "q" or name.startswith("q_")) and pa.types.is_floating(rows.schema.field(name).type)
    }


def row_key(rows: pa.Table, row: int) -> dict[str, Any]:
    """Return the columns that identify a row, and its values.

    These are the leading columns of text, and further ones until no other row has the same values; a first column of
    ids suffices if they differ.
    """
    names: list[str] = rows.column_names
    first = names[0]
    if first.endswith("_id") and len(rows[first].unique()) == len(rows):
        return {first: rows[first][row].as_py()}
    key: dict[str, Any] = {}
    candidates = set(range(len(rows)))
    for name in names:
        if len(candidates) < 2 and (name in _OUTCOMES or not pa.types.is_string(rows.schema.field(name).type)):
            break
        values = rows[name].to_pylist()
        key[name] = _json_value(values[row])
        candidates = {other for other in candidates if values[other] == values[row]}
    return key


def _json_value(value: object) -> object:
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if finite and isinstance(value, str | int | float | None) else str(value)


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def cell(value: object) -> str:
    """Format a value for the page: `1,024`, `0.3982`, lists with commas, null as empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(cell(item) for item in _round_to_zero(value))
    return str(value)


def _round_to_zero(values: list[object]) -> list[object]:
    """Set to zero the floats that are rounding errors beside the largest of them."""
    threshold = 1e-14 * max((abs(value) for value in values if isinstance(value, float)), default=0.0)
    return [0.0 if isinstance(value, float) and abs(value) < threshold else value for value in values]


def number(value: float) -> str:
    """Format a float with four significant digits, or as a whole number from 10,000 on."""
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"  # also inf, nan and zero
