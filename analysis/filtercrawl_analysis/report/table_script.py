"""Tables as script files beside the page, of which it sorts and filters all rows.

They are scripts because a page that is opened as a file may load scripts, and no other files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from filtercrawl.dataset.files.atomic import write_text
from filtercrawl_analysis.report.page_content import read_rows
from filtercrawl_analysis.report.report_folder import ReportFolder
from filtercrawl_analysis.report.sanitize import sanitize
from filtercrawl_analysis.report.table_view import cell, hidden_columns, number, row_limit

# Rows and cells of a table that a browser loads and sorts within about a second; of a larger table its first rows.
MAX_ROWS: Final = 200_000
MAX_CELLS: Final = 4_000_000
# Digits that are kept of a number, where no digit that the page shows depends on further ones.
_DIGITS: Final = 6
# Numbers that JavaScript writes in another way, or JSON would lose.
_SPECIAL: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "-0": "-0.0"}


def write_table_scripts(folder: ReportFolder, tables: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Write the script files of the tables of which the page itself has not all rows.

    Args:
        folder: Where the Parquet files of the tables are.
        tables: The tables in results.json.

    Returns:
        How many rows each script file has, by the name of its table.

    Raises:
        DatasetError: A file cannot be written.
    """
    written = {}
    for entry in tables:
        n_shown = len(entry["columns"]) - len(hidden_columns(entry["columns"]))
        if entry["rows"] <= row_limit(n_shown):
            continue
        n_rows = script_rows(entry["rows"], len(entry["columns"]))
        rows = read_rows(folder, entry, n_rows).slice(0, n_rows)
        write_text(folder.root / folder.table(entry["name"], "js"), folder.root, table_script(entry["name"], rows))
        written[entry["name"]] = rows.num_rows
    return written


def script_rows(n_rows: int, n_columns: int) -> int:
    """Return how many rows of a table its script file has."""
    return min(n_rows, MAX_ROWS, MAX_CELLS // max(1, n_columns))


def table_script(name: str, rows: pa.Table) -> str:
    """Return the script file of a table: one call with its columns, in ASCII.

    Text is what the page shows of it, without unprintable characters; numbers have six digits, or as many as decide
    the four that are shown.

    Args:
        name: Name of the table.
        rows: Its rows.
    """
    names = rows.column_names
    hidden = hidden_columns(names)
    about = {
        "name": name,
        "rows": rows.num_rows,
        "hidden": hidden,
        "ids": [column for column in names if column in hidden or column == "layer_id"],
        "copied": "layer_id" if "layer_id" in names else None,
    }
    columns = ",\n".join(_column(rows, column) for column in names)
    return f'filtercrawlTable({{{_json(about)[1:-1]}, "columns": [\n{columns}\n]}});\n'


def _column(rows: pa.Table, name: str) -> str:
    kind = rows.schema.field(name).type
    values = rows[name].to_pylist()
    if pa.types.is_integer(kind):
        return _object(name=name, kind="integer") + f'"values": [{",".join(map(_integer, values))}]}}'
    if pa.types.is_floating(kind):
        return _object(name=name, kind="float") + f'"values": [{",".join(map(_float, values))}]}}'
    prefix = _prefix(rows, name, values)
    if prefix is not None:
        values = [
            None if value is None else value[len(start) + 1 :]
            for value, start in zip(values, rows[prefix].to_pylist(), strict=True)
        ]
    texts = {value: _text(value) for value in set(values)} if pa.types.is_string(kind) else None
    places: dict[str, int] = {}
    codes = [
        -1 if value is None else places.setdefault(_text(value) if texts is None else texts[value], len(places))
        for value in values
    ]
    head = _object(name=name, kind="text", prefix=prefix, words=list(places))
    return f'{head}"codes": [{",".join(map(str, codes))}]}}'


def _prefix(rows: pa.Table, name: str, values: Iterable[Any]) -> str | None:
    """Return the column with which all ids of a column of layers begin; None without one."""
    if name != "layer_id" or "model_id" not in rows.column_names:
        return None
    pairs = zip(values, rows["model_id"].to_pylist(), strict=True)
    return "model_id" if all(_begins_with(value, model) for value, model in pairs) else None


def _begins_with(value: object, model: object) -> bool:
    return value is None or (isinstance(value, str) and value.startswith(f"{model}#"))


def _text(value: object) -> str:
    return str(sanitize(cell(value)))


def _integer(value: int | None) -> str:
    return "null" if value is None else str(value)


def _float(value: float | None) -> str:
    if value is None:
        return "null"
    short = f"{value:.{_DIGITS}g}"
    if short in _SPECIAL:
        return _SPECIAL[short]
    if -1e4 < value < 1e4 and short[-1] != "5" and "e" not in short:  # no tie of four digits, which most are not
        return short
    return short if number(float(short)) == number(value) else repr(value)


def _object(**items: Any) -> str:
    """Return the beginning of an object with these items, without those that are None."""
    return _json({name: value for name, value in items.items() if value is not None})[:-1] + ", "


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
