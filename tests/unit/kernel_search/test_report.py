"""The neighbors as text."""

from __future__ import annotations

import pyarrow as pa
import pytest

from filtercrawl.kernel_search import SearchReport


def report(queries: list[int]) -> SearchReport:
    n = len(queries)
    columns = {
        "query": pa.array(queries, pa.int64()),
        "cosine": pa.array([0.5] * n, pa.float64()),
        "kernel_id": pa.array([f"a#w:{i}:0" for i in range(n)], pa.string()),
        "image": pa.array(["as it is"] * n, pa.string()),
    }
    return SearchReport(neighbors=pa.table(columns), kernel_size=(3, 3), searched=9, measure="cosine")


@pytest.mark.parametrize(
    ("queries", "heads"),
    [([], []), ([0, 0], []), ([0, 0, 1, 2], ["query 0", "query 1", "query 2"]), ([1], ["query 1"])],
)
def test_neighbors_of_several_queries_have_a_head_each(queries: list[int], heads: list[str]) -> None:
    lines = str(report(queries)).splitlines()
    assert lines[0] == "9 kernels of 3x3 searched"
    assert [line for line in lines if line.startswith("query")] == heads
    assert len(lines) == 1 + len(heads) + len(queries)
