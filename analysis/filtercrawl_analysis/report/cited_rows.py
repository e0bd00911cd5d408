"""Rows that a finding names or counts, by the values that they have: what is wrong with them, and their link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import CitedRows, ResultTable
from filtercrawl.api.formatting import format_plural, shorten
from filtercrawl_analysis.report.sanitize import sanitize

Value = str | int | bool

# Names and values of a filter that need no quotes.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_]+")
_PLAIN_VALUE: Final = re.compile(r'[^\s"]+')
# Characters of a value in the text of a link.
_VALUE_LENGTH: Final = 40


def cited_rows_problem(cited: object, tables: Mapping[str, ResultTable]) -> str | None:
    """Return why cited rows cannot be shown; None if they can.

    Args:
        cited: What a finding cites.
        tables: The tables of its result by name.
    """
    if not isinstance(cited, CitedRows):
        return f"gives {type(cited).__name__} among the rows that a finding cites"
    table = tables.get(cited.table)
    if table is None:
        return f"a finding cites rows of the table {cited.table!r}, which is not there"
    for name, value in cited.where.items():
        if name not in table.rows.column_names:
            return f"a finding cites rows of {table.name!r} by the column {name!r}, which is not there"
        if not isinstance(value, Value) or value == "":
            return f"a finding cites rows of {table.name!r} whose {name!r} is {value!r}, which no filter can find"
    if not cited.where or count_rows(table, cited.where) == 0:
        return f"a finding cites rows of {table.name!r} by {dict(cited.where)}, which no row has"
    return None


def count_rows(table: ResultTable, where: Mapping[str, Value]) -> int | None:
    """Return how many rows have these values; None for a table that is too large for memory."""
    if table.batches is not None:
        return None
    found = pa.chunked_array([pa.array([True] * table.rows.num_rows, pa.bool_())])
    for name, value in where.items():
        column = table.rows[name]
        if not _is_of_type(value, column.type):
            return 0
        found = pc.and_(found, pc.fill_null(pc.equal(column, pa.scalar(value, column.type)), False))
    return pc.sum(found).as_py() or 0


def _is_of_type(value: Value, kind: pa.DataType) -> bool:
    if isinstance(value, bool):
        return bool(pa.types.is_boolean(kind))
    if isinstance(value, int):
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def cited_rows_entry(cited: CitedRows, tables: Mapping[str, ResultTable]) -> dict[str, Any]:
    """Return cited rows for results.json: their table, their values, and how many there are."""
    return {
        "table": cited.table,
        "where": dict(cited.where),
        "rows": count_rows(tables[cited.table], cited.where),
    }


def cited_rows_link(entry: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, str] | None:
    """Return the link to cited rows of results.json and its text; None where the page has no such table.

    The link leads to the table; the script of the page adds the query, which finds the rows, to its address.

    Args:
        entry: The cited rows.
        titles: Titles of the tables that the page has, by name.
    """
    if entry["table"] not in titles:
        return None
    rows = "rows" if entry["rows"] is None else format_plural(entry["rows"], "row")
    values = ", ".join(shorten(_words(name, value), _VALUE_LENGTH) for name, value in entry["where"].items())
    query = urlencode({"filter": filter_text(entry["where"])})
    return {
        "href": f"#table-{entry['table']}",
        "query": query,
        "text": f"{rows} of “{titles[entry['table']]}”: {values}",
    }


def _words(name: str, value: Value) -> str:
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return value if isinstance(value, str) else f"{name} {value}"


def filter_text(where: Mapping[str, Value]) -> str:
    """Return the filter of the page that finds the rows with these values: `verdict=random model_id="a b"`."""
    return " ".join(
        f"{_quoted(name, _PLAIN_NAME)}={_quoted(_text(value), _PLAIN_VALUE)}" for name, value in where.items()
    )


def _text(value: Value) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(sanitize(str(value)))


def _quoted(text: str, plain: re.Pattern[str]) -> str:
    if plain.fullmatch(text):
        return text
    return '"' + text.replace('"', '""') + '"'
