"""Explained variance without each model, against the kernels themselves."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.numerics.moments import Moments
from filtercrawl_analysis.statistics.components.model_influence import component_influence, influence_rows


def test_shares_without_a_model_are_those_of_the_kernels_of_the_others() -> None:
    random = np.random.default_rng(3)
    kernels = [random.normal(0.3 * i, 1 + i, (40 + 10 * i, 4)) @ random.normal(size=(4, 4)) for i in range(4)]
    moments = Moments(
        n=np.array([len(k) for k in kernels], float),
        mean=np.array([k.mean(0) for k in kernels]),
        scatter=np.array([(k - k.mean(0)).T @ (k - k.mean(0)) for k in kernels]),
    )
    found = list(component_influence("2x2", list("abcd"), moments, 2))
    assert len(found) == 8
    for row in found:
        left = np.concatenate([k for k, name in zip(kernels, "abcd", strict=True) if name != row["model_id"]])
        singular = np.linalg.svd(left - left.mean(0), compute_uv=False) ** 2
        assert row["without"] == pytest.approx((singular / singular.sum())[row["component"]], rel=1e-9)
        assert row["kernels"] == len(kernels["abcd".index(row["model_id"])])


def test_what_does_not_exist_without_a_model_is_null_and_comes_last() -> None:
    found = influence_rows({"what": "drift"}, ["a", "b", "c"], np.array([1.0, 2, 3]), 0.5, np.array([np.nan, 0.4, 0.9]))
    assert [(row["model_id"], row["without"]) for row in found] == [("c", 0.9), ("b", 0.4), ("a", None)]
    assert found[-1]["change"] is None


def test_two_models_are_too_few() -> None:
    moments = Moments(n=np.ones(2), mean=np.zeros((2, 2)), scatter=np.ones((2, 2, 2)))
    assert list(component_influence("2", ["a", "b"], moments, 1)) == []
