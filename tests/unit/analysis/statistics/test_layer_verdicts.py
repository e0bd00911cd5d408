"""The verdict on a layer, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from filtercrawl_analysis.statistics.layer_verdicts import layer_verdict

OK: dict[str, Any] = {
    "norm_linf": 1.0,
    "sparsity": 0.0,
    "one_kernel_share": 0.2,
    "distinct_share": 1.0,
    "q_structured": 0.01,
    "taps": 9,
}


@pytest.mark.parametrize(
    ("changes", "n_finite", "verdict"),
    [
        ({}, 100, "ok"),
        ({"sparsity": 0.9}, 100, "dead"),
        ({"sparsity": 0.89}, 100, "ok"),
        ({"norm_linf": 0.0, "sparsity": None}, 100, "dead"),
        ({"one_kernel_share": 0.99}, 100, "repeated"),
        ({"distinct_share": 0.25}, 100, "repeated"),
        ({"distinct_share": None, "one_kernel_share": None}, 100, "ok"),
        ({"one_kernel_share": 1.0}, 1, None),
        ({"q_structured": 0.06}, 100, "random"),
        ({"q_structured": 0.06}, 18, "random"),
        ({"q_structured": 0.06}, 17, None),
        ({"q_structured": None}, 100, None),
        ({"sparsity": 1.0, "one_kernel_share": 1.0, "q_structured": 1.0}, 100, "dead"),
    ],
)
def test_the_first_rule_that_applies(changes: dict[str, Any], n_finite: int, verdict: str | None) -> None:
    assert layer_verdict(OK | changes, n_finite) == verdict
