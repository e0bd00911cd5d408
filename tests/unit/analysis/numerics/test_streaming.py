"""Passes over streaming kernels against numpy in float64, in any parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.numerics.streaming import (
    coefficient_histogram,
    coefficient_range,
    grouped_histograms,
    kernel_scatter,
)
from support.sketch_reference import paper_scaled


def kernels(seed: int, n: int, taps: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixed = generator.standard_normal((n, taps)) @ generator.standard_normal((taps, taps))
    return mixed.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 20_000),
    taps=st.sampled_from([1, 4, 9, 25]),
    cuts=st.lists(st.integers(0, 20_000), max_size=3),
    seed=st.integers(0, 99),
)
def test_all_three_agree_with_numpy(n: int, taps: int, cuts: list[int], seed: int) -> None:
    data = kernels(seed, n, taps)
    parts = np.split(data, sorted(min(cut, n) for cut in cuts))
    small = paper_scaled(data)
    found = kernel_scatter(parts)
    mean = small.mean(0)
    want = (small - mean).T @ (small - mean)
    assert found.n == n
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.scatter, want, atol=1e-9 * max(1.0, np.trace(want)))
    basis = np.linalg.eigh(want)[1].T[::-1].copy()
    coefficients = (small - mean) @ basis.T
    low, high = coefficient_range(parts, basis, mean)
    assert low == pytest.approx(coefficients.min(), abs=1e-5)
    assert high == pytest.approx(coefficients.max(), abs=1e-5)
    if high - low < 1e-3:
        return  # one tap: every scaled kernel is 1 or -1
    counts = coefficient_histogram(parts, basis, mean, low, high, 70)
    assert counts.shape == (taps, 70)
    assert (counts.sum(1) == n).all()
    # Coefficients are float32: those within its rounding of an edge may lie on the other side.
    edges = np.linspace(low, high, 71)
    for row, column in zip(counts, coefficients.T, strict=True):
        want_row = np.histogram(column.clip(low, high), edges)[0]
        near = (np.abs(column[:, None] - edges).min(1) < 1e-5).sum()
        assert np.abs(row - want_row).sum() <= 2 * near


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9000)), max_size=6),
    taps=st.sampled_from([4, 9]),
    seed=st.integers(0, 99),
)
def test_one_look_gives_what_two_give(counts: list[tuple[int, int]], taps: int, seed: int) -> None:
    parts = [(group, kernels(seed + i, n, taps)) for i, (group, n) in enumerate(counts)]
    basis, mean = np.linalg.qr(kernels(seed, taps, taps).astype(np.float64))[0], np.linspace(-0.2, 0.2, taps)
    found = grouped_histograms(iter(parts), basis, mean, 70, 4)
    everything = [part for _, part in parts]
    if found is None:
        assert sum(map(len, everything)) == 0
        return
    assert (found.low, found.high) == coefficient_range(everything, basis, mean)
    for group in range(4):
        mine = [part for owner, part in parts if owner == group]
        assert np.array_equal(found.counts[group], coefficient_histogram(mine, basis, mean, found.low, found.high, 70))


def test_kernels_that_are_not_finite_are_left_out() -> None:
    data = kernels(1, 100, 9)
    lame = data.copy()
    lame[3, 4], lame[70, 0] = np.nan, np.inf
    kept = np.delete(data, [3, 70], 0)
    assert kernel_scatter([lame]).n == 98
    np.testing.assert_allclose(kernel_scatter([lame]).scatter, kernel_scatter([kept]).scatter, atol=1e-9)
    assert coefficient_range([lame], np.eye(9)) == coefficient_range([kept], np.eye(9))
    assert (
        coefficient_histogram([lame], np.eye(9), None, -1, 1, 7)
        == coefficient_histogram([kept], np.eye(9), None, -1, 1, 7)
    ).all()


def test_nothing_gives_no_span_and_no_scatter() -> None:
    nothing = np.empty((0, 9), np.float32)
    assert coefficient_range([nothing], np.eye(9)) == (np.inf, -np.inf)
    assert coefficient_histogram([nothing], np.eye(9), None, -1, 1, 7).sum() == 0
    with pytest.raises(ValueError, match="no kernel"):
        kernel_scatter([np.full((3, 9), np.nan, np.float32)])


def test_arrays_of_arrow_are_read_in_place() -> None:
    data = kernels(2, 50, 9)
    frozen = pa.array(data.ravel()).to_numpy().reshape(-1, 9)
    assert not frozen.flags.writeable
    before = frozen.copy()
    assert coefficient_range([frozen], np.eye(9)) == coefficient_range([data], np.eye(9))
    assert np.array_equal(frozen, before)


def test_equal_kernels_have_no_scatter_and_one_bin() -> None:
    data = np.full((10_000, 9), 0.3, np.float32)
    assert not kernel_scatter([data]).scatter.any()
    assert (coefficient_histogram([data], np.eye(9), None, 1, 1, 70)[:, 0] == 10_000).all()
