"""Nonlinear least squares for many kernels at a time: variable projection with Levenberg-Marquardt steps."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from filtercrawl_analysis.statistics.form.kernel_models import KernelModel

# Relative decrease of the sum of squares below which a fit has converged, and steps at most.
_TOLERANCE: Final = 1e-7
MAX_STEPS: Final = 60
_FIRST_DAMPING: Final = 1e-2
# Factors of the damping after a step that was better, and one that was not.
_EASE: Final = 0.2
_TIGHTEN: Final = 5.0
_MAX_DAMPING: Final = 1e8
# A parameter this near to its bound is at it.
NEAR_BOUND: Final = 1e-6
# Relative ridge on Gram matrices, which are singular where a width or a frequency is at its bound.
_RIDGE: Final = 1e-10


class LeastSquares(NamedTuple):
    """Fits of one model to kernels.

    Attributes:
        parameters: Nonlinear parameters [B, P].
        linear: Linear parameters [B, L].
        residual: Sum of squared residuals [B].
    """

    parameters: Tensor
    linear: Tensor
    residual: Tensor

    def best_of(self, other: LeastSquares) -> LeastSquares:
        """Return for each kernel the fit of the smaller residual, this one where they are equal."""
        better = other.residual < self.residual
        return LeastSquares(
            parameters=torch.where(better[:, None], other.parameters, self.parameters),
            linear=torch.where(better[:, None], other.linear, self.linear),
            residual=torch.where(better, other.residual, self.residual),
        )


class _Point(NamedTuple):
    """A model at some parameters: the fit there, and the normal equations of the next step."""

    parameters: Tensor
    linear: Tensor
    cost: Tensor
    hessian: Tensor
    gradient: Tensor

    def where(self, better: Tensor, other: _Point) -> _Point:
        return _Point(
            *(
                torch.where(better.view(-1, *[1] * (mine.ndim - 1)), theirs, mine)
                for mine, theirs in zip(self, other, strict=True)
            )
        )

    def take(self, rows: Tensor) -> _Point:
        return _Point(*(values[rows] for values in self))


def fit(model: KernelModel, kernels: Tensor, start: Tensor, steps: int = MAX_STEPS) -> LeastSquares:
    """Fit a model to kernels from a start each.

    The linear parameters are solved for at every step, so that only the others are searched (variable projection, Golub
    and Pereyra 1973, with Kaufman's 1975 approximation of the Jacobian); their steps are those of Levenberg and
    Marquardt. A kernel's fit does not depend on the others'.

    Args:
        model: The model.
        kernels: [B, taps], of about unit size.
        start: Nonlinear parameters [B, P].
        steps: Steps at most.
    """
    active = torch.arange(len(kernels), device=kernels.device)
    point = _evaluate(model, kernels, model.clamp(start))
    parameters, linear, residual = (values.clone() for values in point[:3])
    damping = torch.full_like(residual, _FIRST_DAMPING)
    for _ in range(steps):
        trial = _evaluate(model, kernels, model.clamp(point.parameters + _step(model, point, damping)))
        decrease = point.cost - trial.cost
        better = decrease > 0
        done = (better & (decrease <= _TOLERANCE * point.cost)) | (damping > _MAX_DAMPING)
        damping = torch.where(better, damping * _EASE, damping * _TIGHTEN)
        point = point.where(better, trial)
        if done.any():
            rows = active[done]
            parameters[rows], linear[rows], residual[rows] = (values[done] for values in point[:3])
            keep = ~done
            active, kernels, damping, point = active[keep], kernels[keep], damping[keep], point.take(keep)
            if not len(active):
                break
    parameters[active], linear[active], residual[active] = point[:3]
    return LeastSquares(parameters=parameters, linear=linear, residual=residual)


def standard_errors(model: KernelModel, kernels: Tensor, fitted: LeastSquares) -> Tensor:
    """Return the standard errors of the nonlinear parameters [B, P], to first order, for noise of equal variance."""
    hessian = _evaluate(model, kernels, fitted.parameters).hessian
    variance = fitted.residual / (kernels.shape[1] - model.n_parameters)
    inverse = torch.linalg.inv(hessian + torch.diag_embed(_ridge(hessian)))
    errors: Tensor = (inverse.diagonal(dim1=1, dim2=2).clamp(min=0) * variance[:, None]).sqrt()
    return errors


def _evaluate(model: KernelModel, kernels: Tensor, parameters: Tensor) -> _Point:
    basis = model.basis(parameters)
    columns = basis.columns
    gram = columns @ columns.mT
    gram = gram + torch.diag_embed(_ridge(gram))
    linear = torch.linalg.solve(gram, columns @ kernels[:, :, None])[:, :, 0]
    residuals = kernels - (linear[:, None] @ columns)[:, 0]
    jacobian = basis.derivative(linear)
    crossed = columns @ jacobian.mT
    hessian = jacobian @ jacobian.mT - crossed.mT @ torch.linalg.solve(gram, crossed)
    gradient = (jacobian @ residuals[:, :, None])[:, :, 0]
    return _Point(parameters, linear, residuals.square().sum(1), hessian, gradient)


def _step(model: KernelModel, point: _Point, damping: Tensor) -> Tensor:
    # Parameters that are at a bound and would leave it stay, as the others would move as if these did, and hardly gain.
    outward = point.gradient.sign() * NEAR_BOUND
    free = (model.clamp(point.parameters + outward) - point.parameters).abs() > NEAR_BOUND / 2
    hessian = point.hessian * (free[:, :, None] & free[:, None])
    diagonal = point.hessian.diagonal(dim1=1, dim2=2).clamp(min=0)
    damped = hessian + torch.diag_embed((damping[:, None] + ~free) * diagonal + _ridge(point.hessian))
    step: Tensor = torch.linalg.solve(damped, point.gradient * free)
    return step


def _ridge(matrices: Tensor) -> Tensor:
    """Return what is added to the diagonals of positive semidefinite matrices [B, n, n] to make them regular [B, n]."""
    diagonal = matrices.diagonal(dim1=1, dim2=2)
    return (diagonal.amax(1, keepdim=True) * _RIDGE + torch.finfo(matrices.dtype).tiny).expand_as(diagonal)
