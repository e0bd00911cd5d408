"""The verdict on a layer, rule by rule, and the counts of verdicts of a model."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from filtercrawl_analysis.statistics.quality.model_quality import model_quality
from filtercrawl_analysis.statistics.quality.verdict_rules import VERDICTS, layer_verdict

OK: dict[str, Any] = {
    "norm_linf": 1.0,
    "dead_share": 0.0,
    "distinct_share": 1.0,
    "outlier_share_low": 0.1,
    "near_copy_share": 0.1,
    "near_copy_null": None,
    "one_kernel_share": 0.3,
    "q_structured": 0.01,
    "power": 1.0,
    "null": "kurtosis",
}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "ok"),
        ({"dead_share": 0.9}, "dead"),
        ({"dead_share": 0.89}, "ok"),
        ({"norm_linf": 0.0, "dead_share": None}, "dead"),
        ({"distinct_share": 0.25}, "repeated"),
        ({"distinct_share": None, "outlier_share_low": None, "near_copy_share": None}, "ok"),
        ({"outlier_share_low": 0.8}, "outliers"),
        ({"outlier_share_low": 0.79}, "ok"),
        ({"near_copy_share": 0.9, "near_copy_null": 0.5}, "near copies"),
        ({"near_copy_share": 0.9, "near_copy_null": 0.6}, "ok"),
        ({"near_copy_share": 0.9, "near_copy_null": 0.6, "one_kernel_share": 0.95}, "near copies"),
        ({"near_copy_share": 0.89}, "ok"),
        ({"q_structured": 0.06}, "random"),
        ({"q_structured": 0.06, "power": 0.79}, "too small"),
        ({"q_structured": 0.06, "null": "sample permutation"}, "too small"),
        ({"q_structured": 0.05, "null": "sample permutation"}, "ok"),
        ({"q_structured": 0.05, "power": 0.1}, "ok"),
        ({"q_structured": None, "power": 0.0}, "too small"),
        ({"q_structured": None, "power": 1.0}, None),
        ({"q_structured": None, "power": None}, None),
        ({"dead_share": 1.0, "distinct_share": 0.1, "outlier_share_low": 1.0, "q_structured": 1.0}, "dead"),
        ({"distinct_share": 0.1, "outlier_share_low": 1.0}, "repeated"),
    ],
)
def test_the_first_rule_that_applies(changes: dict[str, Any], verdict: str | None) -> None:
    assert layer_verdict(OK | changes) == verdict
    assert verdict is None or verdict in VERDICTS


def test_a_model_counts_its_layers_and_kernels_by_verdict() -> None:
    def layer(
        model: str, verdict: str | None, kernels: int, dead_share: float | None, peak: float = 1.0
    ) -> dict[str, Any]:
        return {
            "model_id": model,
            "verdict": verdict,
            "n_kernels": kernels,
            "dead_share": dead_share,
            "norm_linf": peak,
        }

    layers = [
        layer("a", "ok", 10, 0.5),
        layer("a", "random", 30, 0.0),
        layer("a", "near copies", 5, None),
        layer("b", "dead", 8, None, peak=0.0),
        layer("b", "too small", 2, 0.5),
    ]
    models = [
        {"model_id": "b", "verdict": "too small", "law": None, "untrained_layers": 0},
        {"model_id": "a", "verdict": "looks untrained", "law": "torch default", "untrained_layers": 1},
    ]
    b, a = model_quality(pa.Table.from_pylist(layers), pa.Table.from_pylist(models)).to_pylist()
    assert (a["model_id"], a["layers"], a["kernels"]) == ("a", 3, 45)
    assert (a["ok"], a["random"], a["near_copies"], a["dead"]) == (1, 1, 1, 0)
    assert (a["kernels_random"], a["kernels_near_copies"]) == (30, 5)
    assert (a["judgeable"], a["random_share"], a["dead_share"]) == (2, 0.5, 5 / 40)
    assert (a["initialization"], a["law"], a["untrained_layers"]) == ("looks untrained", "torch default", 1)
    assert (b["dead"], b["judgeable"], b["random_share"], b["dead_share"]) == (1, 0, None, 0.9)
