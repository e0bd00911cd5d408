"""Tables on the page: which rows are shown, and what identifies a row."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.analysis import ResultTable
from filtercrawl_analysis.report.table_view import (
    MAX_ROWS,
    MIN_ROWS,
    cited_rows,
    count_tests,
    row_key,
    row_limit,
    table_view,
)


def entry(rows: int) -> dict[str, Any]:
    return {"name": "t", "title": "T", "about": "", "tests": {}, "rows": rows}


@given(st.integers(1, 600).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=5))))
def test_every_cited_row_is_shown_with_its_anchor_and_gaps_are_counted(case: tuple[int, set[int]]) -> None:
    total, cited = case
    view = table_view(entry(total), pa.table({"n": range(total)}), cited)
    position, shown = 0, {}
    for row in view["rows"]:
        position += row.skipped
        assert row.cells == (f"{position:,}",)
        shown[position] = row.anchor
        position += 1
    assert shown == {
        row: f"row-t-{row + 1}" if row in cited else None for row in {*range(min(total, MAX_ROWS)), *cited}
    }
    assert view["cited_below"] == len([row for row in cited if row >= MAX_ROWS])


@given(st.integers(1, 200))
def test_a_wide_table_shows_fewer_rows(columns: int) -> None:
    assert MIN_ROWS <= row_limit(columns + 1) <= row_limit(columns) <= MAX_ROWS


def test_hashes_and_ids_are_titles_and_not_cells() -> None:
    rows = pa.table(
        {
            "layer_id": ["local/a.pt#conv1", "local/a.pt#conv2"],
            "model_id": ["local/a.pt", "local/a.pt"],
            "layer_sha256": ["f" * 64, None],
            "n_kernels": [9, 10_000],
            "variance_entropy_norm": [0.5, None],
        }
    )
    view = table_view(entry(2), rows, ())
    assert [column["name"] for column in view["columns"]] == [
        "layer_id",
        "model_id",
        "n_kernels",
        "variance_entropy_norm",
    ]
    assert [column["head"] for column in view["columns"]][2:] == ["kernels", "variance entropy, of 1"]
    assert view["hidden"] == ["layer_sha256"]
    first, second = view["rows"]
    assert first.cells == ("conv1", "local/a.pt", "9", "0.5")
    assert first.title == f"layer_id local/a.pt#conv1; layer_sha256 {'f' * 64}"
    assert first.copied == "local/a.pt#conv1"
    assert second.cells == ("conv2", "local/a.pt", "10,000", "")
    assert second.title == "layer_id local/a.pt#conv2"


def test_only_findings_of_the_table_cite_its_rows() -> None:
    findings = [
        {"table": None, "row": None, "other_rows": []},
        {"table": "t", "row": 3, "other_rows": [{"row": 7}]},
        {"table": "u", "row": 4, "other_rows": []},
    ]
    assert cited_rows(findings, "t") == {3, 7}


@pytest.mark.parametrize(
    ("columns", "row", "key"),
    [
        ({"layer_id": ["a", "b"], "model_id": ["m", "m"], "n": [1, 2]}, 1, {"layer_id": "b"}),
        ({"kernel": ["3x3"], "group_a": ["x"], "drift": [0.1]}, 0, {"kernel": "3x3", "group_a": "x"}),
        ({"kernel": ["3x3", "3x3"], "component": [0, 1], "share": [0.5, 0.5]}, 1, {"kernel": "3x3", "component": 1}),
        ({"group": ["a"], "verdict": ["differs"], "q": [0.1]}, 0, {"group": "a"}),
        ({"x": [float("nan"), 1.0], "y": [1, 2]}, 0, {"x": "nan"}),
    ],
)
def test_the_key_of_a_row(columns: dict[str, list[Any]], row: int, key: dict[str, Any]) -> None:
    found = row_key(pa.table(columns), row)
    assert found == key
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab"), st.integers(0, 1)), min_size=1, unique=True))
def test_a_key_names_one_row_of_distinct_ones(rows: list[tuple[str, str, int]]) -> None:
    data = pa.Table.from_pylist([{"a": a, "b": b, "n": n} for a, b, n in rows])
    for row in range(len(rows)):
        key = row_key(data, row)
        assert [i for i, other in enumerate(data.to_pylist()) if key.items() <= other.items()] == [row]


def test_tests_are_counted_by_column_of_adjusted_p_values_and_not_again_in_an_excerpt() -> None:
    rows = pa.table({"q": [0.1, None], "q_structured": [0.1, 0.2], "quality": [0.3, 0.3], "q_text": ["a", "b"]})
    assert count_tests(ResultTable(name="t", title="T", rows=rows)) == {"q": 1, "q_structured": 2}
    assert count_tests(ResultTable(name="t", title="T", rows=rows, excerpt_of="whole")) == {}
