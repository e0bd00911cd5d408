"""Layers measured in batches against the same layers measured one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filtercrawl.api.layer_batch import LayerMeasures, SupportsLayerBatch
from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.layer_quality import SketchedQuality
from filtercrawl_analysis.layer_stats.quality import Quality
from support.layer_batches import batch_of
from support.operator_calls import WAITING, OperatorCalls

Weight = NDArray[np.float32]
# The bound that the documentation states: relative to the value, and absolute for ratios, which lie in [0, 1].
BOUND = 1e-6
RATIOS = ("variance_entropy", "variance_entropy_norm", "orthogonality")


def random(seed: int, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Weight:
    return ((np.random.default_rng(seed).standard_normal(shape) + mean) * scale).astype(np.float32)


def alone(weight: Weight) -> LayerMeasures:
    finite = np.abs(weight[np.isfinite(weight)])
    summary = LayerSummary(
        shape=weight.shape,
        n_kernels=weight.shape[0] * weight.shape[1],
        taps=math.prod(weight.shape[2:]),
        max_abs=float(finite.max(initial=0.0)),
    )
    accumulator = Quality().start(summary)
    assert isinstance(accumulator, SketchedQuality)
    accumulator.update(torch.from_numpy(weight))
    return LayerMeasures(columns=accumulator.finish(), sketch=accumulator.sketch())


def together(weights: list[Weight], block: int = 16) -> list[LayerMeasures | None]:
    pending = Quality().start_batch(batch_of(weights, block))
    return list(pending.finish(pending.results.numpy()))


def agree(got: LayerMeasures | None, weight: Weight) -> None:
    want = alone(weight)
    assert got is not None
    assert got.columns.keys() == want.columns.keys()
    for name, value in want.columns.items():
        margin = BOUND if name in RATIOS else 0.0
        expected = None if value is None else pytest.approx(value, rel=BOUND, abs=margin)
        assert got.columns[name] == expected, name
    assert got.sketch is not None
    assert want.sketch is not None
    assert got.sketch.keys() == want.sketch.keys()
    for name, value in want.sketch.items():
        agree_in_sketch(name, got.sketch[name], value)


def agree_in_sketch(name: str, got: Any, want: Any) -> None:
    if not name.endswith(("mean", "scatter", "sums", "energy", "l1")):
        assert got == want, name
        return
    if name == "power_sums":  # sums of odd powers may cancel out: they are as exact as the sums of magnitudes
        n, *_, fourths = want
        np.testing.assert_allclose(got, want, rtol=BOUND, atol=BOUND * fourths**0.25 * min(1.0, fourths**0.5) / n)
        return
    largest = np.abs(want).max()
    np.testing.assert_allclose(got, want, rtol=BOUND, atol=BOUND * largest)


@settings(max_examples=25, deadline=None)
@given(
    channels=st.lists(st.tuples(st.integers(1, 70), st.integers(1, 6)), min_size=1, max_size=5),
    kernel_size=st.sampled_from([(1, 1), (3, 3), (5, 5), (3, 3, 3), (7,), (1, 7), (7, 7)]),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-30, 4),
    mean=st.sampled_from([0.0, 0.5, 20.0]),
    zeros=st.floats(0, 1),
    block=st.sampled_from([1, 8, 64]),
)
def test_a_batch_agrees_with_single_layers(
    channels: list[tuple[int, int]],
    kernel_size: tuple[int, ...],
    seed: int,
    exponent: int,
    mean: float,
    zeros: float,
    block: int,
) -> None:
    weights = []
    for i, (out, inputs) in enumerate(channels):
        weight = random(seed + i, out, inputs, *kernel_size, scale=10.0**exponent, mean=mean)
        weight[np.random.default_rng(seed + i).random((out, inputs)) < zeros] = 0
        weights.append(weight)
    for got, weight in zip(together(weights, block), weights, strict=True):
        if got is not None:  # a mean of many deviations, which few kernels have by chance
            agree(got, weight)


def test_filters_of_all_numbers_agree() -> None:
    few, many = random(0, 20, 30, 3, 3), random(1, 96, 30, 3, 3)
    many[3] = 0
    for weights in ([few, many], [many, many[:70, :7].copy()]):  # cosines in float64, and in float32
        for got, weight in zip(together(weights), weights, strict=True):
            agree(got, weight)


def test_layers_of_one_kernel_and_of_zeros_agree() -> None:
    weights = [random(0, 1, 1, 3, 3), np.zeros((4, 3, 3, 3), np.float32), random(1, 1, 7, 3, 3), random(2, 9, 1, 3, 3)]
    for got, weight in zip(together(weights), weights, strict=True):
        agree(got, weight)


def test_what_a_batch_cannot_measure_is_left_to_single_layers_and_harms_no_other() -> None:
    plain, nan, infinite = random(0, 8, 8, 3, 3), random(1, 8, 8, 3, 3), random(2, 8, 8, 3, 3)
    nan[1, 2, 0, 0], infinite[3, 4, 1, 1] = np.nan, -np.inf
    huge = random(3, 8, 8, 3, 3, scale=1e30)
    distant = random(4, 8, 8, 3, 3, mean=1e5)
    equal = np.full((8, 8, 3, 3), 0.3, np.float32)
    weights = [plain, nan, infinite, plain, huge, distant, equal, plain]
    found = together(weights)
    assert [one is None for one in found] == [False, True, True, False, True, True, True, False]
    for i in (0, 3, 7):
        agree(found[i], plain)


def test_filters_of_extreme_scale_are_left_to_single_layers_where_cosines_are_float32() -> None:
    weight = random(0, 80, 4, 3, 3)
    weight[5] *= 1e-20
    assert together([weight]) == [None]
    (few,) = together([weight[:40].copy()])
    agree(few, weight[:40])


def test_layers_without_filters_have_no_orthogonality() -> None:
    pending = Quality().start_batch(batch_of([random(0, 50, 1, 3, 3)], 16, filters_known=False))
    (found,) = pending.finish(pending.results.numpy())
    assert found is not None
    assert found.columns["orthogonality"] is None


def test_without_sketches_there_are_only_columns() -> None:
    weight = random(0, 6, 5, 3, 3)
    pending = Quality(sketches=False).start_batch(batch_of([weight], 16))
    (found,) = pending.finish(pending.results.numpy())
    assert found is not None
    assert found.sketch is None
    assert found.columns == pytest.approx(alone(weight).columns, rel=BOUND)


def test_kernels_of_many_taps_have_no_batches() -> None:
    measure = Quality()
    assert isinstance(measure, SupportsLayerBatch)
    assert [measure.supports_taps(taps) for taps in (1, 9, 49, 50)] == [True, True, True, False]


@pytest.mark.parametrize("n_layers", [1, 50])
def test_the_number_of_operators_is_that_of_one_layer(n_layers: int) -> None:
    batch = batch_of([random(i, 8, 4, 3, 3) for i in range(n_layers)], 16)
    with OperatorCalls() as calls:
        pending = Quality().start_batch(batch)
    assert len(calls.names) <= 32
    assert not WAITING & set(calls.names)
    results = pending.results.numpy()
    with OperatorCalls() as calls:
        pending.finish(results)
    assert calls.names == []
