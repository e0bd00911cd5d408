"""Singular values of weights and of convolutions, against scipy and explicit matrices."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.numerics.spectrum import (
    block_singular_values,
    default_operator_size,
    matrix_singular_values,
    operator_norm_bound,
    operator_singular_range,
    tap_eigenvalues,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def convolution_matrix(weight: torch.Tensor, groups: int, size: int, *, periodic: bool) -> np.ndarray:
    """The matrix of a convolution of inputs [in, size, ...], by the convolution of each unit input."""
    axes = weight.ndim - 2
    inputs = weight.shape[1] * groups
    unit = torch.eye(inputs * size**axes, dtype=torch.float64).reshape(-1, inputs, *([size] * axes))
    before_after = [p for axis in reversed(weight.shape[2:]) for p in (axis // 2, axis - 1 - axis // 2)]
    padded = torch.nn.functional.pad(unit, before_after, mode="circular" if periodic else "constant")
    convolve = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d}[axes]
    return convolve(padded, weight, groups=groups).flatten(1).T.numpy()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.sampled_from([1, 2, 3]), st.integers(0, 99))
def test_singular_values_are_those_of_the_block_diagonal_matrix(
    out: int, inputs: int, taps: int, groups: int, seed: int
) -> None:
    weight = drawn(out * groups, inputs, taps, seed=seed)
    blocks = [block.reshape(out, -1).numpy() for block in weight.reshape(groups, out, inputs, taps)]
    want = scipy.linalg.svdvals(scipy.linalg.block_diag(*blocks))
    found = matrix_singular_values(weight, groups)
    assert np.allclose(found, want[: len(found)], rtol=1e-9, atol=1e-12)
    assert np.allclose(want[len(found) :], 0, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_eigenvalues_at_taps(out: int, inputs: int, taps: int, seed: int) -> None:
    weight = drawn(out, inputs, taps, seed=seed)
    want = np.sort(np.concatenate([scipy.linalg.svdvals(weight[:, :, t].numpy()) ** 2 for t in range(taps)]))
    assert np.allclose(tap_eigenvalues(weight), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("smallest", [1e-4, 1e-7, 1e-11])
def test_small_singular_values_are_no_rounding_errors(smallest: float) -> None:
    left, right = (scipy.linalg.qr(drawn(6, 6, seed=seed).numpy())[0] for seed in (1, 2))
    values = np.array([1, 0.5, 0.1, 1e-2, 1e-3, smallest])
    matrix = torch.from_numpy(left * values @ right)
    found = block_singular_values(torch.stack([matrix, drawn(6, 6)]))[0].numpy()
    assert np.allclose(found, np.sort(values), rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "groups", "size"),
    [
        ((2, 3, 3, 3), 1, 6),
        ((4, 1, 3, 3), 4, 6),
        ((4, 2, 2, 2), 2, 5),
        ((3, 2, 1, 3), 1, 6),
        ((3, 2, 3, 1), 1, 6),
        ((3, 2, 5), 1, 11),
    ],
)
def test_the_operator_is_the_explicit_circulant_matrix(shape: tuple[int, ...], groups: int, size: int) -> None:
    weight = drawn(*shape)
    values = scipy.linalg.svdvals(convolution_matrix(weight, groups, size, periodic=True))
    largest, smallest = operator_singular_range(weight.flatten(2), shape[2:], groups, size)
    assert largest == pytest.approx(values[0], rel=1e-9)
    rank = groups * min(shape[0] // groups, shape[1]) * size ** (len(shape) - 2)
    assert smallest == pytest.approx(values[rank - 1], rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(2, 2, 3, 3), (2, 2, 2, 2), (3, 2, 5)])
def test_the_bound_of_the_norm_holds_for_other_sizes(shape: tuple[int, ...], seed: int) -> None:
    weight = drawn(*shape, seed=seed)
    size = default_operator_size(shape[2:])
    norm, _ = operator_singular_range(weight.flatten(2), shape[2:], 1, size)
    bound = operator_norm_bound(norm, shape[2:], size)
    assert norm < bound < 1.25 * norm
    for other in (size + 1, 3 * size + 1):
        assert operator_singular_range(weight.flatten(2), shape[2:], 1, other)[0] <= bound
    padded = convolution_matrix(weight, 1, 7, periodic=False)
    assert scipy.linalg.svdvals(padded)[0] <= bound


def test_blocks_of_frequencies_do_not_change_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = drawn(3, 2, 9)
    whole = operator_singular_range(weight, (3, 3), 1, 8)
    monkeypatch.setattr("filtercrawl_analysis.numerics.spectrum._BLOCK_BYTES", 1)
    assert operator_singular_range(weight, (3, 3), 1, 8) == pytest.approx(whole, rel=1e-12)


def test_the_default_size_covers_the_kernel_twice() -> None:
    assert [default_operator_size((1, k)) for k in (1, 3, 4, 5, 7, 11)] == [8, 8, 8, 16, 16, 32]
    for kernel in product(range(1, 12), repeat=2):
        assert default_operator_size(kernel) >= 2 * max(kernel)
