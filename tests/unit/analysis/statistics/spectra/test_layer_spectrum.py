"""Summaries of a layer's spectrum, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from filtercrawl_analysis import layer_spectrum
from filtercrawl_analysis.statistics.spectra.layer_spectrum import MatrixSpectrum


def matrix_of(weight: np.ndarray, groups: int = 1) -> MatrixSpectrum:
    found = layer_spectrum(weight, groups)
    assert found is not None
    assert found.matrix is not None
    return found.matrix


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_the_numbers_are_those_of_the_matrix() -> None:
    weight = drawn(6, 4, 3, 3)
    values = scipy.linalg.svdvals(weight.reshape(6, -1))
    shares = values / values.sum()
    found = matrix_of(weight)
    assert found.spectral_norm == pytest.approx(values[0])
    assert found.frobenius_norm == pytest.approx(np.linalg.norm(weight))
    assert found.stable_rank == pytest.approx((values**2).sum() / values[0] ** 2)
    assert found.effective_rank == pytest.approx(np.exp(scipy.stats.entropy(shares)))
    assert found.condition_number == pytest.approx(values[0] / values[-1])
    assert found.decay_exponent == pytest.approx(np.polyfit(np.log(np.arange(1, 7)), np.log(values), 1)[0])
    assert found.rank == 6


def test_a_layer_of_orthogonal_filters_has_full_ranks() -> None:
    found = matrix_of(scipy.linalg.qr(drawn(27, 8), mode="economic")[0].T.reshape(8, 3, 3, 3))
    assert (found.stable_rank, found.effective_rank, found.condition_number) == pytest.approx((8, 8, 1))
    assert found.decay_exponent == pytest.approx(0, abs=1e-12)


def test_a_rank_that_is_not_full_has_no_condition_number() -> None:
    found = matrix_of((drawn(8, 2) @ drawn(2, 36, seed=1)).reshape(8, 4, 3, 3))
    assert found.rank == 2
    assert found.condition_number is None
    assert found.decay_exponent is not None


def test_a_depthwise_layer_is_one_block_a_filter() -> None:
    weight = drawn(16, 1, 5, 5)
    found = matrix_of(weight, 16)
    assert np.allclose(found.singular_values, np.sort(np.linalg.norm(weight.reshape(16, -1), axis=1))[::-1])


def test_the_operator_of_an_identity() -> None:
    weight = torch.zeros(4, 4, 3, 3)
    weight[range(4), range(4), 1, 1] = 2.0
    found = layer_spectrum(weight)
    assert found is not None
    assert found.operator is not None
    assert (found.operator.size, found.operator.norm, found.operator.condition_number) == pytest.approx((8, 2, 1))
    assert found.operator.stable_rank == pytest.approx(4)


def test_unknown_groups_leave_what_does_not_depend_on_them() -> None:
    weight = drawn(16, 4, 3, 3)
    unknown, known = layer_spectrum(weight, None), layer_spectrum(weight, 2)
    assert unknown is not None
    assert known is not None
    assert unknown.matrix is None
    assert unknown.operator is None
    assert unknown.taps.power_law == known.taps.power_law
    assert known.taps.marchenko_pastur is not None


@pytest.mark.parametrize("weight", [np.zeros((4, 2, 3)), np.full((4, 2, 3), np.nan), np.full((4, 2, 3), np.inf)])
def test_zeros_and_numbers_that_are_not_finite_have_no_spectrum(weight: np.ndarray) -> None:
    assert layer_spectrum(weight) is None


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        ((4, 3), {}, "expected"),
        ((4, 3, 3), {"groups": 3}, "3 groups do not divide 4"),
        ((4, 3, 5), {"operator_size": 8}, "operator_size: 8 is less than twice the kernel of 5"),
    ],
)
def test_wrong_usage(shape: tuple[int, ...], options: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        layer_spectrum(drawn(*shape), **options)  # type: ignore[arg-type]


def test_small_layers_have_no_fits() -> None:
    found = layer_spectrum(drawn(4, 1, 7))
    assert found is not None
    assert len(found.taps.eigenvalues) == 7
    assert found.taps.power_law is None
    assert found.taps.marchenko_pastur is None
