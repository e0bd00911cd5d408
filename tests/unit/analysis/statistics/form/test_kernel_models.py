"""Derivatives and bounds of the models of a kernel."""

from __future__ import annotations

import math

import pytest
import torch

from filtercrawl_analysis.statistics.form.kernel_models import DogModel, GaborModel, Grid, KernelModel

CPU = torch.device("cpu")
GRID = Grid((7, 9), CPU)
MODELS = {
    "gabor": (GaborModel(GRID), torch.tensor([[0.3, -0.6, math.log(0.2), 0.7, math.log(1.5), math.log(2.0)]]).double()),
    "dog": (DogModel(GRID), torch.tensor([[0.4, -0.2, math.log(0.9), math.log(1.8)]]).double()),
}


@pytest.mark.parametrize("name", MODELS)
def test_analytic_derivatives_are_those_of_automatic_differentiation(name: str) -> None:
    model, parameters = MODELS[name]
    columns = model.basis(parameters).columns
    linear = torch.linspace(-1, 2, columns.shape[1]).double()[None]

    def values(p: torch.Tensor) -> torch.Tensor:
        return (linear[:, None] @ model.basis(p).columns)[0, 0]

    expected = torch.autograd.functional.jacobian(values, parameters)[:, 0].T
    torch.testing.assert_close(model.basis(parameters).derivative(linear)[0], expected)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_within_their_bounds_stay_and_others_move_onto_them(name: str) -> None:
    model, parameters = MODELS[name]
    torch.testing.assert_close(model.clamp(parameters), parameters)
    far = torch.full_like(parameters, 50.0)
    once = model.clamp(far)
    torch.testing.assert_close(model.clamp(once), once)
    assert bool((once[:, :2] == torch.tensor([[4.5, 3.5]])).all())


def test_no_wave_is_above_the_nyquist_frequency_of_either_axis() -> None:
    model: KernelModel = MODELS["gabor"][0]
    angles = torch.linspace(0, math.pi, 13).double()
    parameters = torch.zeros(13, 6).double()
    parameters[:, 3] = angles
    frequency = model.clamp(parameters)[:, 2].exp()
    highest = torch.maximum((frequency * angles.cos()).abs(), (frequency * angles.sin()).abs())
    torch.testing.assert_close(highest, torch.full_like(highest, 0.5))
