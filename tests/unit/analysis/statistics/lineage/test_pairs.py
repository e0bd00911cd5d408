"""Pairs of checkpoints whose weights are in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.statistics.lineage.models import ModelLayer
from filtercrawl_analysis.statistics.lineage.pairs import ModelPair, PairComparison

Weight = NDArray[np.float32]


class Weights:
    """The part of a `DatasetView` that reads kernels."""

    def __init__(self, weights: Mapping[str, Weight]) -> None:
        self._weights = weights

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, Weight]]:
        for name in layers:
            weight = self._weights[name]
            yield name, weight.reshape(-1, int(np.prod(weight.shape[2:])))


def compare(a: Weight, b: Weight) -> ModelPair:
    models = {
        name: (ModelLayer(tensor="conv.weight", shape=weight.shape, sha256=name, norms=_norms(weight)),)
        for name, weight in (("a", a), ("b", b))
    }
    return PairComparison(cast("DatasetView", Weights({"a": a, "b": b})), models).compare("a", "b")


def _norms(weight: Weight) -> tuple[float, float]:
    finite = weight[np.isfinite(weight)]
    return float(np.abs(finite).sum()), float(np.linalg.norm(finite))


def _layer() -> Weight:
    return np.random.default_rng(0).standard_normal((16, 8, 3, 3)).astype(np.float32)


def test_permuted_filters_are_found() -> None:
    weight = _layer()
    assert compare(weight, weight[::-1].copy()).judgement.relation == "permuted"


def test_weights_that_are_not_finite_are_not_matched() -> None:
    weight = _layer()
    weight[3, 0, 1, 1] = np.nan
    edited = weight.copy()
    edited[0, 0] += 1e-3
    assert compare(weight, edited).judgement.relation == "finetune"
    assert compare(weight, weight[::-1].copy()).judgement.relation == "none"
