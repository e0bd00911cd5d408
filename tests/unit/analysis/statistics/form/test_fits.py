"""Fits of Gabor functions and differences of Gaussians: against scipy in float64, and on planted kernels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.stats import chisquare

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.fits import DogFits, GaborFits, _gabor, fit_dog, fit_gabor
from filtercrawl_analysis.statistics.form.least_squares import LeastSquares
from support.planted_forms import TOLERANCE, Planted, attainable, dog, errors, gabor, plant_dogs, plant_gabors

FITS: dict[str, tuple[Callable[..., Planted], Callable[..., GaborFits | DogFits], Callable[..., Array]]] = {
    "gabor": (plant_gabors, fit_gabor, gabor),
    "dog": (plant_dogs, fit_dog, dog),
}


def scipy_residual(kind: str, kernel: Array, start: dict[str, float]) -> tuple[float, dict[str, float]]:
    """Sum of squared residuals and parameters of scipy's fit of all parameters, amplitude and offset among them."""
    names = [name for name in start if name not in {"amplitude", "offset"}]
    size = len(kernel)

    def residuals(p: Array) -> Array:
        shape = FITS[kind][2]({name: np.array([value]) for name, value in zip(names, p[2:], strict=True)}, size)[0]
        difference: Array = p[0] * shape + p[1] - kernel.ravel()
        return difference

    first = [start["amplitude"], start["offset"], *(start[name] for name in names)]
    found = least_squares(residuals, first, method="lm", xtol=1e-12, ftol=1e-12, gtol=1e-12)
    return 2 * found.cost, dict(zip(names, found.x[2:].tolist(), strict=True))


@pytest.mark.parametrize("kind", FITS)
def test_fits_are_the_minima_that_scipy_finds_from_the_true_parameters(kind: str) -> None:
    plant, fit, _ = FITS[kind]
    planted = plant(12, 9, 0.1, np.random.default_rng(5))
    fitted = fit(planted.kernels)
    for i, kernel in enumerate(planted.kernels):
        truth = {name: float(value[i]) for name, value in planted.parameters.items()}
        residual, expected = scipy_residual(kind, kernel, {"amplitude": 1.0, "offset": 0.0, **truth})
        ours = (1 - fitted.r2[i]) * ((kernel - kernel.mean()) ** 2).sum()
        assert ours == pytest.approx(residual, rel=1e-5)
        for name in set(expected) - {"orientation", "phase"}:
            assert getattr(fitted, name)[i] == pytest.approx(expected[name], rel=5e-3, abs=5e-3)


@pytest.mark.parametrize("kind", FITS)
def test_reported_parameters_give_the_reported_r2(kind: str) -> None:
    _, fit, _ = FITS[kind]
    kernels = np.random.default_rng(0).standard_normal((20, 6, 7)) * 1e-3 + 0.5
    fitted = fit(kernels)
    residual = ((kernels - fitted.images((6, 7))) ** 2).sum((1, 2))
    total = ((kernels - kernels.mean((1, 2), keepdims=True)) ** 2).sum((1, 2))
    np.testing.assert_allclose(fitted.r2, 1 - residual / total, atol=1e-6)


@pytest.mark.parametrize("kind", FITS)
@pytest.mark.parametrize("size", [5, 7, 11])
def test_parameters_without_noise_are_recovered(kind: str, size: int) -> None:
    plant, fit, _ = FITS[kind]
    planted = plant(60, size, 0.0, np.random.default_rng(2))
    found = errors(fit(planted.kernels), planted)
    right = np.all([error < 2e-2 for error in found.values()], axis=0)
    assert right.mean() >= 0.95


@pytest.mark.parametrize("kind", FITS)
def test_parameters_with_a_fifth_of_noise_are_recovered_as_often_as_the_information_bound_allows(kind: str) -> None:
    plant, fit, _ = FITS[kind]
    planted = plant(250, 9, 0.2, np.random.default_rng(3))
    found, possible = errors(fit(planted.kernels), planted), attainable(kind, planted)
    for name, error in found.items():
        assert (error <= TOLERANCE).mean() >= possible[name].mean() - 0.06, name
    for name in ("center_x", "center_y", *(("frequency", "orientation", "phase") if kind == "gabor" else ())):
        assert (found[name] <= TOLERANCE).mean() >= 0.95, name
    if kind == "dog":
        assert (np.asarray(getattr(fit(-planted.kernels), "sign")) == -1).all()  # noqa: B009


@pytest.mark.parametrize("kind", FITS)
def test_fits_explain_more_than_the_true_function_does(kind: str) -> None:
    plant, fit, _ = FITS[kind]
    planted = plant(100, 7, 0.2, np.random.default_rng(4))
    residual = ((fit(planted.kernels).images((7, 7)) - planted.kernels) ** 2).sum((1, 2))
    assert (residual <= ((planted.clean - planted.kernels) ** 2).sum((1, 2))).mean() >= 0.98


def test_the_canonical_form_follows_a_kernel_that_is_scaled_negated_or_mirrored() -> None:
    planted = plant_gabors(40, 9, 0.05, np.random.default_rng(6))
    first = fit_gabor(planted.kernels)
    scaled, negated = fit_gabor(3 * planted.kernels + 2), fit_gabor(-planted.kernels)
    mirrored = fit_gabor(np.ascontiguousarray(planted.kernels[:, :, ::-1]))
    np.testing.assert_allclose(scaled.frequency, first.frequency, rtol=1e-3)
    np.testing.assert_allclose(scaled.amplitude, 3 * first.amplitude, rtol=1e-3)
    np.testing.assert_allclose(scaled.offset, 3 * first.offset + 2, atol=1e-2)
    np.testing.assert_allclose(circular(negated.phase - first.phase - math.pi, 2 * math.pi), 0, atol=1e-2)
    np.testing.assert_allclose(circular(mirrored.orientation + first.orientation, math.pi), 0, atol=1e-2)
    np.testing.assert_allclose(mirrored.center_x, -first.center_x, atol=1e-2)
    for fitted in (first, scaled, negated, mirrored):
        assert (fitted.amplitude > 0).all()
        assert ((fitted.orientation >= 0) & (fitted.orientation < math.pi)).all()
        assert ((fitted.phase > -math.pi) & (fitted.phase <= math.pi)).all()


@pytest.mark.exhaustive
def test_no_orientation_is_preferred() -> None:
    fitted = fit_gabor(plant_gabors(800, 5, 0.2, np.random.default_rng(10)).kernels)
    cells = np.bincount(np.floor(fitted.orientation / (math.pi / 8) + 0.5).astype(np.int64) % 8, minlength=8)
    assert chisquare(cells).pvalue > 1e-3


def circular(angles: Array, turn: float) -> Array:
    return (angles + turn / 2) % turn - turn / 2


@pytest.mark.parametrize("kind", FITS)
def test_a_fit_depends_neither_on_other_kernels_nor_on_the_number_of_threads(kind: str) -> None:
    plant, fit, _ = FITS[kind]
    kernels = plant(1500, 5, 0.3, np.random.default_rng(7)).kernels
    together = fit(kernels)
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        alone = fit(kernels[700:720])
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(alone.r2, together.r2[700:720], rtol=1e-9)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("kind", FITS)
def test_kernels_that_cannot_be_fitted_have_no_parameters(kind: str) -> None:
    _, fit, _ = FITS[kind]
    kernels = np.random.default_rng(8).standard_normal((4, 5, 5)).astype(np.float32)
    kernels[0], kernels[1], kernels[2, 1, 1] = 0, 0.3, np.inf
    fitted = fit(kernels)
    for field in dataclasses.fields(fitted):
        assert np.isnan(getattr(fitted, field.name)).tolist() == [True, True, True, False]
    assert all(len(getattr(fit(kernels[:0]), field.name)) == 0 for field in dataclasses.fields(fitted))


@pytest.mark.parametrize("shape", [(3, 4, 7), (3, 25)])
def test_smaller_kernels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="both at least 5"):
        fit_gabor(np.ones(shape))


def test_tiny_and_huge_weights_are_fitted_alike() -> None:
    kernels = plant_gabors(10, 7, 0.1, np.random.default_rng(9)).kernels
    np.testing.assert_allclose(fit_gabor(kernels * 1e-180).r2, fit_gabor(kernels * 1e180).r2, rtol=1e-9)


def test_an_angle_just_below_zero_is_an_orientation_of_zero_with_the_phase_unchanged() -> None:
    angles = (0.0, -1e-20, -math.pi, 3 * math.pi)
    parameters = torch.tensor([[0.0, 0.0, -1.5, angle, 0.3, 0.3] for angle in angles], dtype=torch.float64)
    linear = torch.tensor([[0.5, -0.2, 0.0]] * 4, dtype=torch.float64)
    found = _gabor(LeastSquares(parameters, linear, torch.zeros(4)), torch.zeros(4, 6))
    torch.testing.assert_close(found["orientation"], torch.zeros(4).double())
    phase = math.atan2(0.2, 0.5)
    torch.testing.assert_close(found["phase"], torch.tensor([phase, phase, -phase, -phase]).double())
