"""Rows that findings cite: how many there are, and the filter that finds them."""

from __future__ import annotations

import re
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.analysis import CitedRows, ResultTable
from filtercrawl_analysis.report.cited_rows import cited_rows_entry, cited_rows_link, count_rows, filter_text

ROWS = pa.table(
    {
        "model_id": ["a", "a", "b", None],
        "n": [1, 2, 1, 1],
        "share": [1.0, 0.5, 1.0, 1.0],
        "dead": [True, False, None, True],
    }
)
TABLE = ResultTable(name="t", title="T", rows=ROWS)
# As the script of the page reads a filter.
CONDITION = re.compile(r'("(?:[^"]|"")*"|[^\s"<>=:]+)=((?:"(?:[^"]|"")*"|[^\s"])*)')


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({"model_id": "a"}, 2),
        ({"model_id": "a", "n": 1}, 1),
        ({"share": 1}, 3),
        ({"dead": True}, 2),
        ({"dead": False}, 1),
        ({"n": True}, 0),
        ({"dead": 1}, 0),
        ({"n": "1"}, 0),
        ({"model_id": "c"}, 0),
    ],
)
def test_rows_are_counted_by_value_and_type(where: dict[str, str | int | bool], count: int) -> None:
    assert count_rows(TABLE, where) == count


def test_rows_of_a_table_that_is_too_large_for_memory_are_not_counted() -> None:
    large = replace(TABLE, batches=lambda: iter(ROWS.to_batches()))
    cited = CitedRows(table="t", where={"dead": True})
    entry = cited_rows_entry(cited, {"t": large})
    assert entry == {"table": "t", "where": {"dead": True}, "rows": None}
    assert cited_rows_link(entry, {"t": "Layers"}) == {
        "href": "#table-t",
        "query": "filter=dead%3Dyes",
        "text": "rows of “Layers”: dead",
    }


def test_a_link_says_how_many_rows_there_are_and_shortens_long_names() -> None:
    name = "local/" + "x" * 200
    link = cited_rows_link({"table": "t", "where": {"model_id": name, "n": 7}, "rows": 1200}, {"t": "Layers"})
    assert link is not None
    assert link["text"].startswith("1,200 rows of “Layers”: local/xxx")
    assert link["text"].endswith("xxx, n 7")
    assert len(link["text"]) < 80
    assert name in link["query"].replace("%2F", "/")
    assert cited_rows_link({"table": "t", "where": {"n": 7}, "rows": 1}, {}) is None


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1) | st.integers(), min_size=1, max_size=3))
def test_a_filter_says_what_it_finds_whatever_the_text(where: dict[str, str | int]) -> None:
    def unquoted(text: str) -> str:
        return re.sub(r'"((?:[^"]|"")*)"', lambda quoted: quoted[1].replace('""', '"'), text)

    found = [(unquoted(name), unquoted(value)) for name, value in CONDITION.findall(filter_text(where))]
    printable = ["".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(v)) for v in where.values()]
    assert found == list(zip(where, printable, strict=True))
