"""The quality columns against the published definitions, written down once more in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary, Measure, Sketcher
from filtercrawl.dataset.schema.arrow import INDEX
from filtercrawl_analysis.layer_stats.quality import Quality, filtercrawl_measures

Columns = dict[str, float | int | None]


def summary(weight: NDArray[np.float32]) -> LayerSummary:
    taps = math.prod(weight.shape[2:])
    finite = np.abs(weight[np.isfinite(weight)])
    return LayerSummary(
        shape=weight.shape,
        n_kernels=weight.shape[0] * weight.shape[1],
        taps=taps,
        max_abs=float(finite.max()) if finite.size else 0.0,
    )


def measured(weight: NDArray[np.float32], cuts: tuple[int, ...] = ()) -> Columns:
    layer = Quality().start(summary(weight))
    for part in np.split(weight, sorted(cuts)):
        layer.update(torch.from_numpy(part))
    return dict(layer.finish())


def expected(weight: NDArray[np.float32]) -> Columns:
    """The columns for a finite layer that is not all zero, by SVD and in float64."""
    flat = weight.reshape(-1, math.prod(weight.shape[2:]))
    dead = (np.abs(flat) < np.abs(weight).max() / 100).all(1)
    centred = flat.astype(np.float64) - flat.astype(np.float64).mean(0)
    entropy = entropy_norm = orthogonality = None
    if len(flat) > 1 and flat.shape[1] > 1:
        variances = np.linalg.svd(centred, compute_uv=False) ** 2 / (len(flat) - 1)
        if variances.sum() > 0:
            p = variances / variances.sum()
            p = p[p > 0]
            entropy = float(-(p * np.log10(p)).sum())
            if (rank := min(flat.shape[1], len(flat) - 1)) > 1:
                entropy_norm = entropy / math.log10(rank)
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    if (n := len(rows)) > 1:
        lengths = np.sqrt((rows**2).sum(1))
        rows /= np.where(lengths == 0, 1, lengths)[:, None]
        orthogonality = float(1 - np.abs(rows @ rows.T - np.eye(n)).sum() / (n * (n - 1)))
    wide = weight.astype(np.float64)
    return {
        "sparsity": float(dead.mean()),
        "n_dead": int(dead.sum()),
        "variance_entropy": entropy,
        "variance_entropy_norm": entropy_norm,
        "orthogonality": orthogonality,
        "norm_l1": float(np.abs(wide).sum()),
        "norm_l2": float(np.sqrt((wide**2).sum())),
        "norm_linf": float(np.abs(wide).max()),
    }


def agree(got: Columns, want: Columns, rel: float = 1e-6, absolute: float = 1e-6) -> None:
    assert got.keys() == want.keys()
    assert {name for name, value in got.items() if value is None} == {k for k, v in want.items() if v is None}
    assert got["sparsity"] == want["sparsity"]
    assert got["n_dead"] == want["n_dead"]
    for name, value in want.items():
        if value is not None:
            margin = 0.0 if name.startswith("norm") else absolute
            assert got[name] == pytest.approx(value, rel=rel, abs=margin), name


def random(seed: int, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def test_hook_yields_one_measure_whose_columns_the_index_has() -> None:
    (measure,) = filtercrawl_measures()
    assert isinstance(measure, Measure)
    assert set(measure.columns) <= set(INDEX.names)
    assert set(measure.columns) == set(measured(random(0, 4, 4, 3, 3)))


@pytest.mark.parametrize(
    "shape",
    [
        (64, 32, 3, 3),
        (96, 1, 7, 7),
        (8, 300, 5),
        (6, 5, 3, 3, 3),
        (3, 2, 31, 31),
        (9, 2, 1, 1),
        (300, 40, 3, 3),
    ],
)
def test_agrees_with_numpy(shape: tuple[int, ...]) -> None:
    weight = random(1, *shape)
    weight[1, 0] *= 0.001
    agree(measured(weight), expected(weight))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=3, max_size=5).map(tuple),
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, 6), max_size=3).map(tuple),
    exponent=st.integers(-30, 30),
    zeros=st.floats(0, 1),
)
def test_agrees_with_numpy_for_any_shape_scale_and_split(
    shape: tuple[int, ...], seed: int, cuts: tuple[int, ...], exponent: int, zeros: float
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal(shape).astype(np.float32) * np.float32(10.0**exponent)
    weight[rng.random(shape[:2]) < zeros] = 0
    weight[-1, -1] = np.float32(10.0**exponent)
    whole = measured(weight)
    agree(whole, expected(weight))
    agree(measured(weight, cuts), whole, rel=1e-9, absolute=1e-9)
    for name in ("variance_entropy_norm", "sparsity"):
        value = whole[name]
        assert value is None or 0 <= value <= 1


def test_parts_larger_than_a_chunk_split_anywhere() -> None:
    weight = random(2, 120, 100, 3, 3, scale=0.01)
    agree(measured(weight, (1, 83, 84)), measured(weight), rel=1e-9, absolute=1e-9)


def test_mean_far_from_zero_costs_no_accuracy() -> None:
    weight = random(3, 64, 64, 3, 3) * np.arange(1, 10, dtype=np.float32).reshape(3, 3) + np.float32(1000)
    agree(measured(weight), expected(weight))


@pytest.mark.parametrize("offset", [0.5, 0.9, 1.0, 1.1, 3.0, 1000.0])
def test_some_taps_far_from_zero_and_others_not(offset: float) -> None:
    """Around the distance from which on chunks are taken around their mean, in one chunk and in several."""
    weight = random(17, 130, 80, 3, 3)
    weight[:, :, 1] += np.float32(offset)
    weight[70:, :, 2] -= np.float32(3 * offset)
    found, want = measured(weight), expected(weight)
    agree(found, want)
    for name in ("variance_entropy", "variance_entropy_norm", "norm_l1", "norm_l2"):
        assert found[name] == pytest.approx(want[name], rel=1e-9, abs=1e-9)


def test_first_kernel_far_from_the_others_costs_no_accuracy() -> None:
    weight = random(4, 64, 64, 3, 3, scale=1e-4)
    weight[0, 0] = 1000
    agree(measured(weight), expected(weight))


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1.0, 1e13, 1e30])
def test_many_filters_of_any_size_are_compared_as_well_at_once_as_in_parts(scale: float) -> None:
    """More than a block of products, so many filters that they are float32, one of them zero or of another size."""
    weight = random(5, 600, 8, 3, 3, scale=scale)
    weight[7] = 0
    weight[8] *= np.float32(1e-5)
    whole = measured(weight)["orthogonality"]
    assert whole == pytest.approx(expected(weight)["orthogonality"], abs=2e-9)
    assert measured(weight, (100, 513))["orthogonality"] == whole


def test_sparsity_compares_strictly_and_in_float32() -> None:
    weight = np.ones((4, 1, 1, 2), np.float32)
    edge = np.float32(1) / np.float32(100)
    weight[1] = edge
    weight[2] = np.nextafter(edge, np.float32(0))
    weight[3] = (0, 1)
    assert measured(weight)["n_dead"] == 1
    assert measured(weight)["sparsity"] == 0.25


def test_uniform_variance_reaches_the_largest_entropy() -> None:
    weight = np.concatenate([np.eye(9), -np.eye(9)]).astype(np.float32).reshape(18, 1, 3, 3)
    columns = measured(weight)
    assert columns["variance_entropy"] == pytest.approx(math.log10(9), abs=1e-12)
    assert columns["variance_entropy_norm"] == pytest.approx(1, abs=1e-12)


def test_orthogonal_filters_and_equal_filters() -> None:
    assert measured(np.eye(9, dtype=np.float32).reshape(9, 1, 3, 3))["orthogonality"] == 1
    assert measured(np.ones((9, 1, 3, 3), np.float32))["orthogonality"] == pytest.approx(0, abs=1e-12)


def test_more_filters_than_one_block() -> None:
    weight = random(5, 1100, 1, 3, 3)
    weight[7] = 0
    agree(measured(weight), expected(weight))


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e30])
def test_many_filters_of_any_scale_some_of_them_zero(scale: float) -> None:
    weight = random(15, 100, 20, 3, 3) * np.float32(scale)
    weight[[3, 50, 99]] = 0
    weight[7] *= np.float32(1e-6)
    agree(measured(weight), expected(weight))


def test_without_a_sketch_the_columns_are_the_same() -> None:
    weight = random(16, 70, 9, 3, 3)
    weight[2, 2, 0, 0] = np.inf
    plain = Quality(sketches=False).start(summary(weight))
    plain.update(torch.from_numpy(weight))
    assert not isinstance(plain, Sketcher)
    assert isinstance(Quality().start(summary(weight)), Sketcher)
    agree(dict(plain.finish()), measured(weight), rel=1e-12, absolute=1e-12)


def test_layer_of_zeros_is_dead() -> None:
    columns = measured(np.zeros((4, 3, 3, 3), np.float32))
    assert (columns["sparsity"], columns["n_dead"]) == (1, 12)
    assert columns["variance_entropy"] is None
    assert (columns["norm_l1"], columns["norm_l2"], columns["norm_linf"]) == (0, 0, 0)
    assert columns["orthogonality"] == pytest.approx(1 - 4 / 12)


@pytest.mark.parametrize("value", [0.1, -1e30, 1e-40])
def test_constant_layer_has_no_entropy(value: float) -> None:
    columns = measured(np.full((7, 11, 3, 3), value, np.float32), (2, 5))
    assert columns["variance_entropy"] is None
    assert columns["variance_entropy_norm"] is None
    assert columns["sparsity"] == 0


def test_one_kernel_two_kernels_and_one_tap() -> None:
    one = measured(random(6, 1, 1, 3, 3))
    assert (one["variance_entropy"], one["variance_entropy_norm"], one["orthogonality"]) == (None, None, None)
    two = measured(random(7, 2, 1, 3, 3))
    assert two["variance_entropy"] == pytest.approx(0, abs=1e-12)
    assert two["variance_entropy_norm"] is None
    pointwise = measured(random(8, 5, 4, 1, 1))
    assert pointwise["variance_entropy"] is None
    assert pointwise["orthogonality"] is not None


def test_what_is_too_large_is_left_out() -> None:
    huge_kernels = measured(random(9, 2, 1, 33, 32))
    assert huge_kernels["variance_entropy"] is None
    assert huge_kernels["orthogonality"] is not None
    many_filters = measured(random(10, 4097, 1, 1, 2))
    assert many_filters["orthogonality"] is None
    assert many_filters["variance_entropy"] is not None
    large = np.zeros((2, 1, 2_097_153), np.float32)
    assert measured(large)["orthogonality"] is None


def test_non_finite_kernels_are_left_out_and_finite_weights_counted() -> None:
    weight = random(11, 8, 4, 3, 3)
    weight[2, 1, 0, 0] = np.nan
    weight[5, 0, 1, 1] = np.inf
    weight[5, 3, 1, 1] = -np.inf
    columns = measured(weight, (3, 6))
    flat = weight.reshape(-1, 9)
    kept = flat[np.isfinite(flat).all(1)]
    kernels = expected(kept.reshape(-1, 1, 3, 3))
    peak = np.abs(weight[np.isfinite(weight)]).max()
    n_dead = int((np.abs(kept) < peak / 100).all(1).sum())
    assert columns["n_dead"] == n_dead
    assert columns["sparsity"] == n_dead / 29
    assert columns["variance_entropy"] == pytest.approx(kernels["variance_entropy"], abs=1e-9)
    assert columns["orthogonality"] == pytest.approx(expected(weight[[0, 1, 3, 4, 6, 7]])["orthogonality"], abs=1e-9)
    finite = weight[np.isfinite(weight)].astype(np.float64)
    assert columns["norm_l1"] == pytest.approx(np.abs(finite).sum(), rel=1e-9)
    assert columns["norm_l2"] == pytest.approx(np.sqrt((finite**2).sum()), rel=1e-9)
    assert columns["norm_linf"] == np.abs(finite).max()


def test_layer_without_a_finite_number_has_nothing_but_a_count() -> None:
    columns = measured(np.full((3, 2, 3, 3), np.nan, np.float32))
    assert columns.pop("n_dead") == 0
    assert set(columns.values()) == {None}


def test_subnormal_weights() -> None:
    weight = random(12, 16, 4, 3, 3, scale=1e-40)
    assert 0 < np.abs(weight).max() < np.finfo(np.float32).tiny
    agree(measured(weight), expected(weight))


def test_the_weight_is_not_changed() -> None:
    weight = torch.from_numpy(random(13, 8, 1, 3, 3)).double()
    before = weight.clone()
    layer = Quality().start(summary(weight.float().numpy()))
    layer.update(weight)
    layer.finish()
    assert torch.equal(weight, before)
