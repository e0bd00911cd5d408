"""Changes of measures between two forms of the same layers, against numpy and scipy model by model."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest

from filtercrawl_analysis.statistics.quality.paired_change import PAIRED_CHANGE, paired_change_rows

MODELS = [f"m{i}" for i in range(9) for _ in range(3)]
KERNELS = [10, 20, 30] * 9


def table(values: list[float | None], kernel: str = "3x3") -> pa.Table:
    columns = {"model_id": MODELS, "n_kernels": KERNELS, "kernel": [kernel] * 27, "task": ["a"] * 15 + ["b"] * 12}
    return pa.table({**columns, "sparsity": pa.array(values, pa.float64())})


def test_a_model_counts_by_the_mean_of_its_layers_weighted_by_kernels() -> None:
    random = np.random.default_rng(0)
    before, after = random.random((9, 3)), random.random((9, 3))
    rows = paired_change_rows(table(before.ravel().tolist()), table(after.ravel().tolist()), ["task"], ["sparsity"])
    weights = np.array([10, 20, 30]) / 60
    for row, models in zip(rows, (slice(0, 5), slice(5, 9)), strict=True):
        first, second = (before[models] @ weights, after[models] @ weights)
        assert row["stored"] == pytest.approx(np.median(first))
        assert row["effective"] == pytest.approx(np.median(second))
        assert row["change"] == pytest.approx(np.median(second - first))
        assert (row["models"], row["layers"], row["kernels"]) == (len(first), 3 * len(first), 60 * len(first))
    assert [row["p"] for row in rows] == [None, None]  # below six models nothing can be told
    pa.Table.from_pylist(rows, schema=PAIRED_CHANGE)


def test_a_change_that_all_models_have_is_told_with_its_direction() -> None:
    random = np.random.default_rng(1)
    before = random.random(27)
    for factor, verdict in ((1.1, "higher"), (0.9, "lower"), (1.0, "too little to tell")):
        columns = ["task", "model_id"]
        (row, *_) = paired_change_rows(
            table(before.tolist()).append_column("all", pa.array(["all"] * 27)),
            table((factor * before).tolist()),
            ["all", *columns],
            ["sparsity"],
        )
        assert row["verdict"] == verdict
        if factor != 1:
            assert row["p"] == pytest.approx(binomtest(9, 9).pvalue)
            assert row["low"] * row["high"] > 0


def test_differences_of_rounding_are_no_changes() -> None:
    before = np.full(27, 0.5)
    after = before + np.repeat([0.1, -1e-9, 1e-9] * 3, 3)
    (row,) = paired_change_rows(table(before.tolist()), table(after.tolist()), ["kernel"], ["sparsity"])
    assert (row["change"], row["p"]) == (0.0, None)  # three models of nine changed, too few to tell
    after = before + np.repeat([0.1] * 6 + [-1e-9] * 3, 3)
    (row,) = paired_change_rows(table(before.tolist()), table(after.tolist()), ["kernel"], ["sparsity"])
    assert row["p"] == pytest.approx(binomtest(6, 9).pvalue)  # three models speak against any direction
    assert row["verdict"] == "not told apart"
    after = before + np.repeat([0.1] * 8 + [-1e-9], 3)
    (row,) = paired_change_rows(table(before.tolist()), table(after.tolist()), ["kernel"], ["sparsity"])
    assert row["p"] == pytest.approx(binomtest(8, 9).pvalue)
    assert row["verdict"] == "higher"


def test_layers_without_a_value_in_either_form_are_left_out() -> None:
    before: list[float | None] = [1.0] * 27
    after: list[float | None] = [2.0] * 27
    before[0], after[1], after[3:6] = None, None, [None] * 3
    (row, _) = paired_change_rows(table(before), table(after), ["task"], ["sparsity"])
    assert (row["models"], row["layers"], row["change"]) == (4, 15 - 5, 1.0)
    assert paired_change_rows(table([None] * 27), table(after), ["task"], ["sparsity"]) == []
