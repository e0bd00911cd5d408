"""Tables on the page: the rows and columns that are shown, their anchors, and the format of their cells."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import ResultTable

# Cells of a table on the page, and its rows at least and at most, beside those that findings are derived from; the
# files have all.
MAX_CELLS: Final = 1600
MIN_ROWS: Final = 30
MAX_ROWS: Final = 200
# Items of a list in a cell.
MAX_ITEMS: Final = 4
# Columns of text that state results, and so do not identify a row.
_OUTCOMES: Final = frozenset({"verdict", "note", "mode"})
# Columns that identify a row for programs: on the page they are the title of its first cell.
_HIDDEN: Final = re.compile(r"row_id|(.+_)?sha256")
# Heads of columns that are clearer in other words than those of their names.
_HEADS: Final = {
    "n_kernels": "kernels",
    "n_weights": "weights",
    "n_dead": "dead kernels",
    "n_nonfinite": "weights not finite",
    "low": "95 % from",
    "high": "95 % to",
    "op": "operator",
    "kernel": "kernel size",
    "drift": "drift D",
    "tested_kernels": "kernels tested",
    "times_median": "times the others' median",
    "layer_id": "layer",
    "model_id": "model",
    "variance_entropy_norm": "variance entropy, of 1",
}


@dataclass(frozen=True, kw_only=True)
class RowView:
    """A row on the page.

    Attributes:
        cells: Its formatted values.
        anchor: The id that findings link to; None for a row that no finding is derived from.
        skipped: The rows that are left out directly before it.
        title: The ids of the row, which are not shown; empty if it has none.
        copied: What the copy button of the row copies; empty for a row without one.
    """

    cells: tuple[str, ...]
    anchor: str | None
    skipped: int
    title: str = ""
    copied: str = ""


def row_anchor(table: str, row: int) -> str:
    """Return the id of a row on the page."""
    return f"row-{table}-{row + 1}"


def cited_rows(findings: Iterable[Mapping[str, Any]], table: str) -> set[int]:
    """Return the rows of a table that findings of results.json are derived from."""
    return {row for finding in findings if finding["table"] == table for row in finding_rows(finding)}


def finding_rows(finding: Mapping[str, Any]) -> list[int]:
    """Return the positions of all rows that a finding of results.json is derived from."""
    return [] if finding["row"] is None else [finding["row"], *(other["row"] for other in finding["other_rows"])]


def table_view(
    entry: Mapping[str, Any], rows: pa.Table, cited: Collection[int], script_rows: int = 0
) -> dict[str, Any]:
    """Return what the template shows of a table: its first rows, and every row in `cited`.

    Args:
        entry: The table in results.json.
        rows: Its rows, or the first of them.
        cited: Rows that findings are derived from.
        script_rows: Rows in its script file; 0 without one.
    """
    hidden = hidden_columns(rows.column_names)
    names = [name for name in rows.column_names if name not in hidden]
    held, limit = rows.num_rows, row_limit(len(names))
    shown = sorted({*range(min(limit, held)), *(row for row in cited if row < held)})
    shown_rows = rows.take(pa.array(shown, pa.int64()))
    columns = [list(_cells(shown_rows, name)) for name in names]
    titles, copied = _titles(shown_rows), _copied(shown_rows)
    before = [-1, *shown]
    return {
        **{name: entry[name] for name in ("name", "title", "about", "tests")},
        "columns": [_column(rows.schema.field(name)) for name in names],
        "rows": [
            RowView(
                cells=cells,
                anchor=row_anchor(entry["name"], row) if row in cited else None,
                skipped=row - previous - 1,
                title=title,
                copied=text,
            )
            for row, previous, cells, title, text in zip(
                shown, before, zip(*columns, strict=True), titles, copied, strict=False
            )
        ],
        "total": entry["rows"],
        "first": min(limit, held),
        "cited_below": sum(limit <= row < held for row in cited),
        "hidden": hidden,
        "script_rows": script_rows,
    }


def hidden_columns(names: Iterable[str]) -> list[str]:
    """Return the columns that identify a row for programs, which are titles of rows and no columns of the page."""
    return [name for name in names if _HIDDEN.fullmatch(name)]


def row_limit(n_columns: int) -> int:
    """Return how many rows of a table with so many columns are shown."""
    return min(MAX_ROWS, max(MIN_ROWS, MAX_CELLS // max(1, n_columns)))


def _column(field: pa.Field) -> dict[str, Any]:
    return {"name": field.name, "head": column_head(field.name), "numeric": _is_numeric(field.type)}


def column_head(name: str) -> str:
    """Return the head of a column in words."""
    return _HEADS.get(name, name.replace("_", " "))


def _cells(rows: pa.Table, name: str) -> Iterable[str]:
    values = rows[name].to_pylist()
    if name == "layer_id" and "model_id" in rows.column_names:  # the model has a column of its own
        models = rows["model_id"].to_pylist()
        values = [
            value.removeprefix(f"{model}#") if isinstance(value, str) else value
            for value, model in zip(values, models, strict=True)
        ]
    return map(cell, values)


def _titles(rows: pa.Table) -> list[str]:
    names = [name for name in rows.column_names if _HIDDEN.fullmatch(name) or name == "layer_id"]
    values = [rows[name].to_pylist() for name in names]
    return [
        "; ".join(f"{name} {row[i]}" for i, name in enumerate(names) if row[i] is not None)
        for row in (zip(*values, strict=True) if names else [()] * len(rows))
    ]


def _copied(rows: pa.Table) -> list[str]:
    if "layer_id" not in rows.column_names:
        return [""] * len(rows)
    return [value or "" for value in rows["layer_id"].to_pylist()]


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
    """Format a value for the page: `1,024`, `0.3982`, lists with commas and cut, null as empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        items = [cell(item) for item in _round_to_zero(value)]
        return ", ".join(items) if len(items) <= MAX_ITEMS else f"{', '.join(items[:MAX_ITEMS])}, … ({len(items)})"
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
