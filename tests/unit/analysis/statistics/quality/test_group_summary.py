"""Summaries of layers by group."""

from __future__ import annotations

import pyarrow as pa

from filtercrawl_analysis.statistics.quality.group_summary import summarize_groups, summary_schema

LAYERS = pa.table(
    {
        "kernel": ["3x3", "3x3", "3x3", "5x5"],
        "n_kernels": [10, 20, 30, 40],
        "model_id": ["a", "a", "b", "c"],
        "score": [1.0, 3.0, None, None],
        "verdict": ["ok", "dead", None, "ok"],
    }
)


def test_quartiles_counts_and_sample_sizes_by_kernel_size_and_group() -> None:
    rows = list(summarize_groups(LAYERS, "task", ["x", "x", "y", "x"], ["score"], ("ok", "dead")))
    table = pa.Table.from_pylist(rows, schema=summary_schema(["score"], ("ok", "dead")))
    by_key = {(row["kernel"], row["group"]): row for row in table.to_pylist()}
    assert list(by_key) == [("3x3", "x"), ("3x3", "y"), ("5x5", "x")]
    first = by_key["3x3", "x"]
    assert (first["models"], first["layers"], first["kernels"], first["ok"], first["dead"]) == (1, 2, 30, 1, 1)
    assert (first["score_q1"], first["score_median"], first["score_q3"]) == (1.5, 2.0, 2.5)
    assert by_key["3x3", "y"]["score_median"] is None


def test_layers_of_unknown_group_are_left_out() -> None:
    assert list(summarize_groups(LAYERS, "task", [None] * 4, ["score"])) == []
