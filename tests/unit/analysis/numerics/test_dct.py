"""The fixed basis and the transform, against their formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.numerics.dct import dct
from filtercrawl_analysis.numerics.dct_basis import dct_basis, frequencies, histogram_range, n_radial_bins, radial_bins
from support.sketch_reference import cosine

sizes = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple).filter(lambda size: math.prod(size) <= 49)


@settings(max_examples=50, deadline=None)
@given(sizes)
def test_rows_are_orthonormal_cosines_of_rising_frequency(size: tuple[int, ...]) -> None:
    rows, taps = dct_basis(size), math.prod(size)
    assert rows.shape == (taps, taps)
    assert np.allclose(rows @ rows.T, np.eye(taps), atol=1e-12)
    order = frequencies(size)
    assert sorted(map(tuple, order.tolist())) == list(np.ndindex(*size))
    for row, frequency in zip(rows, order.tolist(), strict=True):
        want = [cosine(size, tuple(frequency), tap) for tap in np.ndindex(*size)]
        assert np.allclose(row, want, atol=1e-12)
    radius = np.sqrt((((order * max(size)) / np.array(size)) ** 2).sum(1))
    assert (np.diff(radius) > -1e-9).all()
    assert np.allclose(rows[0], 1 / math.sqrt(taps))


def test_order_of_3x3_and_that_the_caller_owns_it() -> None:
    assert frequencies((3, 3)).tolist() == [
        [0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [2, 0], [1, 2], [2, 1], [2, 2]
    ]  # fmt: skip
    dct_basis((3, 3))[:] = 0
    assert dct_basis((3, 3))[0, 0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("size", "number"), [((3, 3), 4), ((5, 5), 7), ((7, 7), 9), ((31, 31), 43), ((9,), 9), ((3, 3, 3), 4)]
)
def test_number_of_radial_bins(size: tuple[int, ...], number: int) -> None:
    assert n_radial_bins(size) == number


def test_radial_bins_of_3x3_of_oblong_and_of_huge_kernels() -> None:
    assert radial_bins((3, 3)).tolist() == [[0, 1, 2], [1, 1, 2], [2, 2, 3]]
    # One step along the short axis is twice the frequency of one along the long axis.
    assert radial_bins((2, 4)).tolist() == [[0, 1, 2, 3], [2, 2, 3, 4]]
    assert n_radial_bins((300, 300)) == n_radial_bins((64, 64)) == 46
    assert radial_bins((2_097_153,)).max() == 32


@settings(max_examples=30, deadline=None)
@given(size=st.lists(st.integers(1, 31), min_size=1, max_size=2).map(tuple), seed=st.integers(0, 9))
def test_transform_agrees_with_scipy(size: tuple[int, ...], seed: int) -> None:
    kernels = np.random.default_rng(seed).standard_normal((math.prod(size), 3))
    want = np.stack([scipy.fft.dctn(column.reshape(size), norm="ortho").ravel() for column in kernels.T], axis=1)
    assert np.allclose(dct(torch.from_numpy(kernels), size).numpy(), want, atol=1e-12)


@pytest.mark.parametrize("size", [(129,), (1000,), (3, 200), (150, 2, 2)])
def test_long_axes_agree_with_scipy(size: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(1).standard_normal(size)
    found = dct(torch.from_numpy(kernel.reshape(-1, 1)), size).numpy().reshape(size)
    assert np.allclose(found, scipy.fft.dctn(kernel, norm="ortho"), atol=1e-11)


def test_the_range_holds_every_coefficient() -> None:
    assert histogram_range(9) == (-3, 3)
    signs = np.sign(dct_basis((5, 5)))
    low, high = histogram_range(25)
    assert low <= (dct_basis((5, 5)) * signs).sum(1).max() <= high


@pytest.mark.parametrize("size", [(), (0, 3), (3, -1)])
def test_no_kernel_size(size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not a kernel size"):
        dct_basis(size)


def test_above_49_taps_there_is_no_dense_basis() -> None:
    with pytest.raises(ValueError, match="at most 49"):
        dct_basis((8, 8))
