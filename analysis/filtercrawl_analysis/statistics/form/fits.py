"""Fits of a Gabor function and of a difference of Gaussians to kernels, in canonical parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.kernel_models import DogModel, GaborModel, Grid, KernelModel, working_dtype
from filtercrawl_analysis.statistics.form.least_squares import NEAR_BOUND, LeastSquares, fit, standard_errors
from filtercrawl_analysis.statistics.form.parallel import map_in_threads
from filtercrawl_analysis.statistics.form.starts import Dictionary, dog_dictionary, gabor_dictionary

# Shortest axis of kernels that are fitted: a Gabor function has nine parameters.
MIN_SIZE: Final = 5
# Starts of a kernel, and steps after which only the best goes on: more of either hardly changes a fit.
_STARTS: Final = 4
_TRIAL_STEPS: Final = 6
# Weights that are fitted at a time, so that intermediate results stay in the cache of a CPU.
_CHUNK: Final = {"cpu": 131_072, "other": 4_194_304}


@dataclass(frozen=True, kw_only=True)
class GaborFits:
    """Gabor functions fitted to kernels: A exp(-x'^2 / 2 a^2 - y'^2 / 2 b^2) cos(2 pi f x' + phi) + c.

    x' runs along the wave and y' across it, see `GaborModel`. Lengths are in pixels, angles in radians, x to the right
    and y downward. All arrays are float64 [k]; NaN for kernels that are constant or not finite. Of the parameters that
    give the same function, the one with A > 0 and the orientation in [0, pi) is taken.

    Attributes:
        center_x: Center of the envelope, from the middle of the kernel.
        center_y: The same, downward.
        frequency: f, in cycles per pixel.
        orientation: Direction in which the wave runs, in [0, pi), from x to y; 0 for vertical stripes.
        phase: phi in (-pi, pi]: 0 bright center, pi dark center, -pi/2 rising along the wave, pi/2 falling.
        width_along: a, standard deviation of the envelope along the wave.
        width_across: b, the same across it.
        amplitude: A.
        offset: c.
        orientation_error: Standard error of the orientation, to first order.
        frequency_error: Standard error of log f.
        r2: Share of the variance of the weights that the fit explains.
        at_bound: 1 where a parameter is at the bound of its range, so that it is not determined; else 0.
    """

    center_x: Array
    center_y: Array
    frequency: Array
    orientation: Array
    phase: Array
    width_along: Array
    width_across: Array
    amplitude: Array
    offset: Array
    orientation_error: Array
    frequency_error: Array
    r2: Array
    at_bound: Array

    def images(self, size: tuple[int, int]) -> Array:
        """Return the fitted functions at the taps of kernels of a size [k, height, width]."""
        dx, dy = _distances(size, self.center_x, self.center_y)
        cosine, sine = (f(self.orientation)[:, None, None] for f in (np.cos, np.sin))
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        envelope = _gaussian(along, self.width_along) * _gaussian(across, self.width_across)
        wave = np.cos(2 * np.pi * _wide(self.frequency) * along + _wide(self.phase))
        images: Array = _wide(self.amplitude) * envelope * wave + _wide(self.offset)
        return images


@dataclass(frozen=True, kw_only=True)
class DogFits:
    """Differences of Gaussians fitted to kernels: A (exp(-r^2 / 2 s^2) - exp(-r^2 / 2 t^2) s^2 / t^2) + c, s < t.

    The Gaussians have equal volume. Lengths are in pixels. All arrays are float64 [k]; NaN for kernels that are
    constant or not finite.

    Attributes:
        center_x: Center, from the middle of the kernel, to the right.
        center_y: The same, downward.
        center_width: s, standard deviation of the narrow Gaussian.
        surround_width: t, that of the wide one.
        sign: 1 for a bright center (on-center), -1 for a dark one (off-center).
        amplitude: |A|.
        offset: c.
        r2: Share of the variance of the weights that the fit explains.
        at_bound: 1 where a parameter is at the bound of its range, so that it is not determined; else 0.
    """

    center_x: Array
    center_y: Array
    center_width: Array
    surround_width: Array
    sign: Array
    amplitude: Array
    offset: Array
    r2: Array
    at_bound: Array

    def images(self, size: tuple[int, int]) -> Array:
        """Return the fitted functions at the taps of kernels of a size [k, height, width]."""
        dx, dy = _distances(size, self.center_x, self.center_y)
        distance = np.hypot(dx, dy)
        center, surround = (_gaussian(distance, width) for width in (self.center_width, self.surround_width))
        ratio = _wide((self.center_width / self.surround_width) ** 2)
        images: Array = _wide(self.sign * self.amplitude) * (center - ratio * surround) + _wide(self.offset)
        return images


def _wide(values: Array) -> Array:
    return values[:, None, None]


def _distances(size: tuple[int, int], x: Array, y: Array) -> tuple[Array, Array]:
    rows, columns = (axis - (n - 1) / 2 for axis, n in zip(np.indices(size), size, strict=True))
    return columns - _wide(x), rows - _wide(y)


def _gaussian(distance: Array, width: Array) -> Array:
    gaussian: Array = np.exp(-((distance / _wide(width)) ** 2) / 2)
    return gaussian


def fit_gabor(kernels: NDArray[np.floating[Any]], *, device: str = "cpu") -> GaborFits:
    """Fit a Gabor function with an offset to each kernel by least squares.

    Args:
        kernels: [k, height, width], both at least 5.
        device: The torch device to compute on.

    Raises:
        ValueError: The kernels are smaller, or not two-dimensional.
    """
    return GaborFits(**_fit_all(kernels, _Kind(GaborModel, gabor_dictionary, _gabor), torch.device(device)))


def fit_dog(kernels: NDArray[np.floating[Any]], *, device: str = "cpu") -> DogFits:
    """Fit a difference of Gaussians with an offset to each kernel by least squares.

    Args:
        kernels: [k, height, width], both at least 5.
        device: The torch device to compute on.

    Raises:
        ValueError: The kernels are smaller, or not two-dimensional.
    """
    return DogFits(**_fit_all(kernels, _Kind(DogModel, dog_dictionary, _dog), torch.device(device)))


class _Kind(NamedTuple):
    """A model, how its starts are made, and how its parameters are named."""

    model: Callable[[Grid], KernelModel]
    dictionary: Callable[[KernelModel, tuple[int, int], torch.device], Dictionary]
    named: Callable[[LeastSquares, Tensor], dict[str, Tensor]]


@lru_cache(maxsize=4)
def _solver(kind: _Kind, size: tuple[int, int], device: torch.device) -> tuple[KernelModel, Dictionary]:
    model = kind.model(Grid(size, device))
    return model, kind.dictionary(model, size, device)


def _fit_all(kernels: NDArray[np.floating[Any]], kind: _Kind, device: torch.device) -> dict[str, Array]:
    if kernels.ndim != 3 or min(kernels.shape[1:]) < MIN_SIZE:
        raise ValueError(f"kernels have the shape {kernels.shape}; fits need [k, height, width], both at least 5")
    model, dictionary = _solver(kind, (kernels.shape[1], kernels.shape[2]), device)
    flat = torch.from_numpy(np.array(kernels, order="C").reshape(len(kernels), kernels.shape[1] * kernels.shape[2]))
    usable = (flat.isfinite().all(1) & (flat.amax(1) > flat.amin(1))).numpy()
    # At least one, so that the names are known; a constant kernel has no variance and gives NaN.
    chosen = flat[torch.from_numpy(usable)] if usable.any() else torch.eye(1, flat.shape[1])
    step = max(1, _CHUNK["cpu" if device.type == "cpu" else "other"] // flat.shape[1])
    chunks = [chosen[start : start + step] for start in range(0, len(chosen), step)]

    def fit_chunk(chunk: Tensor) -> dict[str, Tensor]:
        return _fit_chunk(chunk.to(device), model, dictionary, kind)

    parts = map_in_threads(fit_chunk, chunks) if device.type == "cpu" else [fit_chunk(chunk) for chunk in chunks]
    values: dict[str, Array] = {}
    for name in parts[0]:
        values[name] = np.full(len(kernels), np.nan)
        if usable.any():
            values[name][usable] = torch.cat([part[name] for part in parts]).cpu().double().numpy()
    return values


def _fit_chunk(kernels: Tensor, model: KernelModel, dictionary: Dictionary, kind: _Kind) -> dict[str, Tensor]:
    wide = kernels.to(working_dtype(kernels.device))
    peak = wide.abs().amax(1, keepdim=True)  # first, as squares of very large and small weights leave the range
    centered = wide / peak
    mean = centered.mean(1, keepdim=True)
    centered = centered - mean
    scale = centered.square().mean(1, keepdim=True).sqrt()
    unit = centered / scale
    trials = (fit(model, unit, start, _TRIAL_STEPS) for start in dictionary.starts(unit, _STARTS))
    best = fit(model, unit, reduce(LeastSquares.best_of, trials).parameters)
    linear = best.linear * scale * peak
    linear[:, -1] += (mean * peak)[:, 0]
    named = kind.named(best._replace(linear=linear), standard_errors(model, unit, best))
    named["r2"] = 1 - best.residual / wide.shape[1]
    named["at_bound"] = _at_bound(model, best.parameters)
    return named


def _at_bound(model: KernelModel, parameters: Tensor) -> Tensor:
    beyond = [parameters + shift for shift in (NEAR_BOUND, -NEAR_BOUND)]
    return torch.stack([(model.clamp(p) - p).abs().amax(1) > NEAR_BOUND / 2 for p in beyond]).any(0)


def _gabor(best: LeastSquares, errors: Tensor) -> dict[str, Tensor]:
    x0, y0, log_f, angle, log_a, log_b = best.parameters.unbind(1)
    even, odd, offset = best.linear.unbind(1)
    turns = torch.floor(angle / math.pi)
    turns = turns + (angle - turns * math.pi >= math.pi)  # of an angle just below 0, by rounding
    orientation = (angle - turns * math.pi).clamp(min=0)
    # Turned by an odd number of half turns, the wave runs backward.
    backward = turns.remainder(2) == 1
    phase = torch.atan2(torch.where(backward, odd, -odd), even)
    return {
        "center_x": x0,
        "center_y": y0,
        "frequency": log_f.exp(),
        "orientation": orientation,
        "phase": torch.where(phase <= -math.pi, math.pi, phase),
        "width_along": log_a.exp(),
        "width_across": log_b.exp(),
        "amplitude": torch.hypot(even, odd),
        "offset": offset,
        "orientation_error": errors[:, 3],
        "frequency_error": errors[:, 2],
    }


def _dog(best: LeastSquares, _: Tensor) -> dict[str, Tensor]:
    x0, y0, log_s, log_q = best.parameters.unbind(1)
    scaled, offset = best.linear.unbind(1)
    return {
        "center_x": x0,
        "center_y": y0,
        "center_width": log_s.exp(),
        "surround_width": (log_s + log_q).exp(),
        "sign": torch.where(scaled < 0, -1.0, 1.0),
        "amplitude": scaled.abs() * (-2 * log_s).exp(),
        "offset": offset,
    }
