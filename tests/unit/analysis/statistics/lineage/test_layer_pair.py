"""Two layers compared position by position, against brute force and independent libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.lineage.layer_pair import compare_weights


def random_layer(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape or (12, 5, 3, 3)).astype(np.float32)


@given(seed=st.integers(0, 2**32 - 2), filters=st.integers(4, 6))
def test_correlation_and_z_are_those_of_all_permutations_of_the_filters(seed: int, filters: int) -> None:
    a, b = random_layer(seed, filters, 2, 3), random_layer(seed + 1, filters, 2, 3)
    flat_a, flat_b = (x.reshape(filters, -1).astype(np.float64) for x in (a, b))
    sums = [(flat_a * flat_b[list(order)]).sum() for order in itertools.permutations(range(filters))]
    pair = compare_weights(a, b)
    assert pair.z == pytest.approx((sums[0] - np.mean(sums)) / np.std(sums), rel=1e-6, abs=1e-9)
    centered = [x - x.mean(0) for x in (flat_a, flat_b)]
    cosine = torch.cosine_similarity(*(torch.from_numpy(x).flatten() for x in centered), dim=0)
    assert pair.correlation == pytest.approx(float(cosine), abs=1e-9)


def test_z_of_independent_layers_is_standard_normal() -> None:
    z = [compare_weights(random_layer(2 * i), random_layer(2 * i + 1)).z for i in range(400)]
    assert abs(np.mean(z)) < 0.15
    assert np.std(z) == pytest.approx(1, abs=0.1)
    assert np.abs(z).max() < 4.5


def test_an_identity_that_both_networks_hold_is_no_relation() -> None:
    a, b = random_layer(0, 16, 16, 3, 3), random_layer(1, 16, 16, 3, 3)
    for weight in (a, b):
        weight[np.arange(16), np.arange(16), 1, 1] += 20
    pair = compare_weights(a, b)
    assert pair.cosine is not None
    assert pair.cosine > 0.5
    assert pair.z is not None
    assert abs(pair.z) < 3


def test_sums_are_those_of_float64_libraries() -> None:
    a, b = random_layer(0), random_layer(1)
    pair = compare_weights(a, b)
    first, second = (torch.from_numpy(x).double().flatten() for x in (a, b))
    assert pair.cosine == pytest.approx(float(torch.cosine_similarity(first, second, dim=0)), abs=1e-12)
    assert pair.relative_change == pytest.approx(float((first - second).norm() / first.norm()), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_known_with_its_direction(dtype: torch.dtype) -> None:
    a = random_layer(0)
    b = torch.from_numpy(a).to(dtype).float().numpy()
    name = str(dtype).removeprefix("torch.")
    assert (compare_weights(a, b).rounded_a, compare_weights(a, b).rounded_b) == (None, name)
    assert (compare_weights(b, a).rounded_a, compare_weights(b, a).rounded_b) == (name, None)
    assert compare_weights(a, a).equal
    assert compare_weights(a, a).rounded_b is None


@given(seed=st.integers(0, 2**32 - 2), levels=st.sampled_from([7, 31, 127]), zero_point=st.integers(-3, 3))
def test_codes_of_each_filter_are_known(seed: int, levels: int, zero_point: int) -> None:
    a = random_layer(seed, 8, 16, 3, 3)
    scale = np.abs(a).max((1, 2, 3), keepdims=True) / levels
    codes = (np.rint(a / scale + zero_point).astype(np.int32) - zero_point).astype(np.float32) * scale
    pair = compare_weights(a, codes.astype(np.float32))
    assert pair.codes_b == 1
    assert pair.codes_a is None


def test_independent_codes_are_no_copy() -> None:
    b = np.rint(random_layer(1, 8, 16, 3, 3) * 30) / 30
    share = compare_weights(random_layer(0, 8, 16, 3, 3), b.astype(np.float32)).codes_b
    assert share is not None
    assert share < 0.1


def test_zeros_and_kept_weights_are_counted() -> None:
    a = random_layer(0)
    b = np.where(np.abs(a) > 0.5, a, 0)
    pair = compare_weights(a, b)
    assert (pair.zeros_a, pair.zeros_b, pair.kept_b) == (0, int((b == 0).sum()), int((b != 0).sum()))


def test_values_that_are_not_finite_are_left_out_of_both() -> None:
    a, b = random_layer(0), random_layer(1)
    a[0, 0, 0, 0], b[3, 1, 1, 1] = np.nan, np.inf
    pair = compare_weights(a, b)
    assert pair.n == a.size - 2
    assert np.isfinite(pair.distance)


def test_slopes_of_a_scaled_copy_are_the_scale() -> None:
    pair = compare_weights(random_layer(0), 0.5 * random_layer(0))
    assert pair.slopes_a == pytest.approx((0.5, 0.5))
    assert pair.slopes_b == pytest.approx((2, 2))


def test_equal_layers_are_equal_in_every_bit() -> None:
    a = random_layer(0)
    a[0, 0, 0, :] = 0, np.nan, np.inf
    pair = compare_weights(a, a.copy())
    assert (pair.equal, pair.equal_values, pair.nonfinite_a, pair.nonfinite_b) == (True, True, 2, 2)
    b = a.copy()
    b[0, 0, 0, 0] = -0.0
    assert (compare_weights(a, b).equal, compare_weights(a, b).equal_values) == (False, True)
    b[0, 0, 0, 1] = 1
    pair = compare_weights(a, b)
    assert (pair.equal_values, pair.n, pair.size, pair.nonfinite_b) == (False, a.size - 2, a.size, 1)


def test_rounding_that_overflows_is_rounding_and_a_lost_weight_is_none() -> None:
    a = random_layer(0).astype(np.float16).astype(np.float32)
    b = a.copy()
    b[0] = np.nan
    assert compare_weights(a, b).rounded_b is None
    a[1, 0, 0, 0] = 1e6
    assert compare_weights(a, torch.from_numpy(a).half().float().numpy()).rounded_b == "float16"


@given(seed=st.integers(0, 2**32 - 2), factor=st.floats(0.01, 100), negative=st.booleans())
def test_the_factor_of_layers_that_are_multiples(seed: int, factor: float, negative: bool) -> None:
    a, sign = random_layer(seed, 8, 4, 3, 3), -1 if negative else 1
    found = compare_weights(a, (sign * factor * a.astype(np.float64)).astype(np.float32)).factor
    assert found == pytest.approx(sign * factor, rel=1e-6)
    assert compare_weights(a, a + np.float32(1e-3) * random_layer(seed + 1, 8, 4, 3, 3)).factor is None


@given(seed=st.integers(0, 2**32 - 2), scale=st.sampled_from([1e-4, 1e-2, 1, 1e3]))
def test_two_half_precisions_of_one_layer_are_known_and_others_are_not(seed: int, scale: float) -> None:
    a = np.float32(scale) * random_layer(seed)
    half, brain = (torch.from_numpy(a).to(dtype).float().numpy() for dtype in (torch.float16, torch.bfloat16))
    for pair in (compare_weights(half, brain), compare_weights(brain, half)):
        assert {pair.half_a, pair.half_b} == {"float16", "bfloat16"}
        assert pair.one_origin
    brain[0, 0, 0, 0] *= 1 + 2**-6
    assert not compare_weights(half, brain).one_origin
    assert not compare_weights(brain, brain).one_origin


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_factor_of_a_layer_that_was_scaled_and_rounded(dtype: torch.dtype) -> None:
    a = random_layer(0)
    b = torch.from_numpy(np.float32(1.7) * a).to(dtype).float().numpy()
    assert compare_weights(a, b).factor == pytest.approx(1.7, rel=1e-3)
    assert compare_weights(a, b + np.float32(0.02) * random_layer(1)).factor is None
    trained = torch.from_numpy(b + np.float32(0.05) * random_layer(1)).to(dtype).float().numpy()
    assert compare_weights(a, trained).factor is None
