"""Forms that become more or less frequent with depth."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl_analysis.statistics.form.depth_trend import correlation, depth_trends
from filtercrawl_analysis.statistics.form.shares import LayerForms
from filtercrawl_analysis.statistics.form.templates import NAMES, NOISE, OFF_CENTER, ON_CENTER


def forms(models: int, layers: int, seed: int, depth: list[int | None] | None = None) -> LayerForms:
    """Models whose on-centers become fewer with depth, off-centers by chance, of 64 kernels a layer."""
    random = np.random.default_rng(seed)
    named = np.zeros((models * layers, len(NAMES)), np.int64)
    at = np.tile(np.arange(layers), models)
    named[:, NAMES.index(ON_CENTER)] = random.binomial(30, 1 - at / layers)
    named[:, NAMES.index(OFF_CENTER)] = random.binomial(30, 0.3, len(at))
    named[:, NAMES.index(NOISE)] = 64 - named.sum(1)
    table = pa.table(
        {
            "model_id": np.repeat([f"m{i}" for i in range(models)], layers),
            "kernel": ["5x5"] * len(at),
            "n_kernels": [64] * len(at),
            "conv_depth": pa.array(depth or at.tolist(), pa.int32()),
        }
    )
    return LayerForms(layers=table, named=named, shuffled=named)


def test_a_form_that_becomes_rarer_in_all_models_is_told_and_one_of_chance_is_not() -> None:
    rows = {row["form"]: row for row in depth_trends(forms(12, 8, 1)).to_pylist()}
    assert set(rows) == {ON_CENTER, OFF_CENTER, NOISE}
    assert rows[ON_CENTER]["verdict"] == "lower"
    assert rows[ON_CENTER]["high"] < 0
    assert rows[OFF_CENTER]["verdict"] == "not told apart"
    assert rows[OFF_CENTER]["low"] < 0 < rows[OFF_CENTER]["high"]
    assert rows[NOISE]["models"] == 12


def test_few_models_are_too_little_to_tell_and_layers_without_depth_do_not_count() -> None:
    assert depth_trends(forms(3, 6, 2))["verdict"].to_pylist() == ["too little to tell"] * 3
    assert len(depth_trends(forms(3, 4, 3, [0, 1, 2, None] * 3))) == 0


@pytest.mark.parametrize(
    ("depth", "share", "expected"),
    [
        ([0, 1, 2, 3], [0.1, 0.2, 0.4, 0.8], 1.0),
        ([3, 2, 1, 0], [0.1, 0.2, 0.4, 0.8], -1.0),
        ([0, 1, 2], [0.1, 0.2, 0.4], None),
        ([0, 1, 2, 3], [0.0, 0.0, 0.0, 0.0], None),
        ([1, 1, 1, 1], [0.1, 0.2, 0.4, 0.8], None),
    ],
)
def test_rank_correlation(depth: list[float], share: list[float], expected: float | None) -> None:
    assert correlation(np.array(depth), np.array(share)) == (None if expected is None else pytest.approx(expected))
