"""Script files of tables: what the page shows, in ASCII, and no text that could end the script."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.report.report_folder import ReportFolder
from filtercrawl_analysis.report.sanitize import sanitize
from filtercrawl_analysis.report.table_script import (
    MAX_CELLS,
    MAX_ROWS,
    script_rows,
    table_script,
    write_table_scripts,
)
from filtercrawl_analysis.report.table_view import cell, number, row_limit


def read(script: str) -> dict[str, Any]:
    """Read a script as JSON, in which Python also takes numbers that are not finite."""
    match = re.fullmatch(r"filtercrawlTable\((\{.*\})\);\n", script, re.DOTALL)
    assert match is not None
    content: dict[str, Any] = json.loads(match[1])
    return content


def texts(column: dict[str, Any]) -> list[str]:
    return ["" if code < 0 else column["words"][code] for code in column["codes"]]


@given(st.lists(st.none() | st.text(), min_size=1))
def test_text_is_that_of_the_page_in_ascii_without_markup(values: list[str | None]) -> None:
    script = table_script("t", pa.table({"a": pa.array(values, pa.string())}))
    assert script.isascii()
    assert "<" not in script
    (column,) = read(script)["columns"]
    assert texts(column) == [sanitize(cell(value)) for value in values]
    assert [code < 0 for code in column["codes"]] == [value is None for value in values]


@pytest.mark.parametrize("name", ["</script>", "<!--", "\u2028", "\u202e", "';alert(1)//", '"]});alert(1)//', "\\"])
def test_hostile_names_stay_data(name: str) -> None:
    content = read(table_script("t", pa.table({name: [name]})))
    assert content["columns"][0]["name"] == name
    assert texts(content["columns"][0]) == [sanitize(name)]


@given(st.lists(st.none() | st.floats(), min_size=1))
def test_numbers_are_short_and_shown_alike(values: list[float | None]) -> None:
    (column,) = read(table_script("t", pa.table({"a": pa.array(values, pa.float64())})))["columns"]
    for value, kept in zip(values, column["values"], strict=True):
        if value is None or kept is None:
            assert value is kept
            continue
        assert number(kept) == number(value)
        assert math.isnan(kept) if math.isnan(value) else kept == pytest.approx(value, rel=1e-5)


@given(st.lists(st.none() | st.integers(-(2**53), 2**53), min_size=1), st.booleans())
def test_integers_are_exact_and_other_types_are_text(values: list[int | None], flag: bool) -> None:
    rows = pa.table({"n": pa.array(values, pa.int64()), "flag": [flag] * len(values), "list": [[1, 2]] * len(values)})
    n, yes, numbers = read(table_script("t", rows))["columns"]
    assert n["values"] == values
    assert set(texts(yes)) == {cell(flag)}
    assert set(texts(numbers)) == {"1, 2"}


def test_ids_of_layers_leave_out_their_models() -> None:
    models = ["local/a.pt", "local/b.pt", "local/b.pt"]
    rows = pa.table({"layer_id": [f"{models[0]}#c", f"{models[1]}#c", None], "model_id": models, "x_sha256": ["f"] * 3})
    content = read(table_script("t", rows))
    layer = content["columns"][0]
    assert layer["prefix"] == "model_id"
    assert layer["words"] == ["c"]
    assert layer["codes"] == [0, 0, -1]
    assert content["hidden"] == ["x_sha256"]
    assert content["ids"] == ["layer_id", "x_sha256"]
    assert content["copied"] == "layer_id"
    other = read(table_script("t", pa.table({"layer_id": ["local/z.pt#c"], "model_id": ["local/a.pt"]})))["columns"][0]
    assert "prefix" not in other
    assert texts(other) == ["local/z.pt#c"]


def test_the_same_table_gives_the_same_bytes_however_it_is_cut() -> None:
    rows = pa.table({"a": [f"x{i % 7}" for i in range(100)], "b": [i / 7 for i in range(100)]})
    pieces = pa.concat_tables([rows.slice(0, 13), rows.slice(13, 50), rows.slice(63)])
    assert table_script("t", rows) == table_script("t", pieces)


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(5, 3, 5), (10**7, 3, MAX_ROWS), (10**7, 40, MAX_CELLS // 40), (10, 0, 10)],
)
def test_large_tables_are_cut(rows: int, columns: int, expected: int) -> None:
    assert script_rows(rows, columns) == expected


def test_only_tables_that_the_page_cuts_get_a_file(tmp_path: Path) -> None:
    folder = ReportFolder(root=tmp_path, prefix="analysis/")
    limit = row_limit(2)
    entries = []
    for name, size in (("short", limit), ("long", limit + 1)):
        path = tmp_path / folder.table(name, "parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"n": range(size), "m": range(size)}), path)
        entries.append({"name": name, "rows": size, "columns": ["n", "m"]})
    assert write_table_scripts(folder, entries) == {"long": limit + 1}
    assert not (tmp_path / "analysis/tables/short.js").exists()
    content = read((tmp_path / "analysis/tables/long.js").read_text("ascii"))
    assert content["rows"] == len(content["columns"][0]["values"]) == limit + 1
