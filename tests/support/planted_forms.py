"""Kernels of known form: Gabor functions and differences of Gaussians with noise, and what can be known of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import norm

from filtercrawl_analysis.numerics.moments import Array

# Errors are counted up to this share: of lengths of the center in kernel sizes, of angles in half turns (orientation)
# and turns (phase), of frequencies and widths in themselves.
TOLERANCE: Final = 0.05
GABOR: Final = ("center_x", "center_y", "frequency", "orientation", "phase", "width_along", "width_across")
DOG: Final = ("center_x", "center_y", "center_width", "surround_width")


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Kernels and their parameters.

    Attributes:
        kernels: With noise [k, size, size].
        clean: Without [k, size, size].
        parameters: By name [k].
        noise: Standard deviation of the noise of each kernel [k].
    """

    kernels: Array
    clean: Array
    parameters: dict[str, Array]
    noise: Array


def coordinates(size: int) -> tuple[Array, Array]:
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    return columns.ravel(), rows.ravel()


def gabor(p: dict[str, Array], size: int) -> Array:
    """Gabor functions of amplitude 1 [k, taps]."""
    x, y = coordinates(size)
    q = {name: value[:, None] for name, value in p.items()}
    dx, dy = x - q["center_x"], y - q["center_y"]
    cosine, sine = np.cos(q["orientation"]), np.sin(q["orientation"])
    along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
    envelope = np.exp(-(along**2) / 2 / q["width_along"] ** 2 - across**2 / 2 / q["width_across"] ** 2)
    waves: Array = envelope * np.cos(2 * math.pi * q["frequency"] * along + q["phase"])
    return waves


def dog(p: dict[str, Array], size: int) -> Array:
    """Differences of Gaussians of amplitude 1, positive in the center [k, taps]."""
    x, y = coordinates(size)
    q = {name: value[:, None] for name, value in p.items()}
    square = (x - q["center_x"]) ** 2 + (y - q["center_y"]) ** 2
    s, t = q["center_width"] ** 2, q["surround_width"] ** 2
    differences: Array = np.exp(-square / 2 / s) - s / t * np.exp(-square / 2 / t)
    return differences


def plant_gabors(count: int, size: int, noise: float, random: np.random.Generator) -> Planted:
    """Draw Gabor functions that the window holds: at least 0.35 cycles a standard deviation, below 0.4 cycles a pixel.

    Centers lie within 15 % of the size around the middle, widths are 12 to 25 % of the size. The noise is normal, with
    a standard deviation of `noise` times that of the kernel's weights.
    """
    along, across = (random.uniform(0.12, 0.25, count) * size for _ in range(2))
    lowest = np.maximum(0.35 / along, 1 / size)
    low = np.minimum(lowest, 0.39)
    parameters = {
        "center_x": random.uniform(-0.15, 0.15, count) * size,
        "center_y": random.uniform(-0.15, 0.15, count) * size,
        "frequency": low * (0.4 / low) ** random.uniform(size=count),
        "orientation": random.uniform(0, math.pi, count),
        "phase": random.uniform(-math.pi, math.pi, count),
        "width_along": along,
        "width_across": across,
    }
    return _planted(gabor, parameters, size, noise, random)


def plant_dogs(count: int, size: int, noise: float, random: np.random.Generator) -> Planted:
    """Draw differences of Gaussians that the window holds: the surround at most 40 % of the size.

    Centers lie within 15 % of the size around the middle; the surround is 1.5 to 4 times as wide as the center, which
    is at least half a pixel.
    """
    surround = random.uniform(max(0.15, 0.75 / size), 0.4, count) * size
    ratio = random.uniform(1.5, 4, count)
    parameters = {
        "center_x": random.uniform(-0.15, 0.15, count) * size,
        "center_y": random.uniform(-0.15, 0.15, count) * size,
        "center_width": np.maximum(surround / ratio, 0.5),
        "surround_width": surround,
    }
    return _planted(dog, parameters, size, noise, random)


def _planted(
    model: Callable[[dict[str, Array], int], Array],
    parameters: dict[str, Array],
    size: int,
    noise: float,
    random: np.random.Generator,
) -> Planted:
    clean = model(parameters, size)
    deviation = noise * clean.std(1)
    kernels = clean + deviation[:, None] * random.standard_normal(clean.shape)
    shape = (len(clean), size, size)
    return Planted(kernels=kernels.reshape(shape), clean=clean.reshape(shape), parameters=parameters, noise=deviation)


def errors(fitted: object, planted: Planted) -> dict[str, Array]:
    """Errors of fitted parameters in the units of `TOLERANCE`, by name [k]."""
    size = planted.kernels.shape[1]
    found = {}
    for name, true in planted.parameters.items():
        difference = np.asarray(getattr(fitted, name)) - true
        if name == "orientation":
            found[name] = np.abs((difference / math.pi + 0.5) % 1 - 0.5)
        elif name == "phase":
            # The orientation is known up to half a turn, with which the phase changes its sign.
            turned = np.abs(getattr(fitted, "orientation") - planted.parameters["orientation"]) > math.pi / 2  # noqa: B009
            difference = np.where(turned, -np.asarray(getattr(fitted, name)), getattr(fitted, name)) - true
            found[name] = np.abs((difference / 2 / math.pi + 0.5) % 1 - 0.5)
        elif name.startswith("center_") and name != "center_width":
            found[name] = np.abs(difference) / size
        else:
            found[name] = np.abs(difference) / true
    return found


def attainable(kind: str, planted: Planted) -> dict[str, Array]:
    """The probability that an efficient estimator's error is within `TOLERANCE`, by name [k].

    Its errors are normal with the variances of the Cramer-Rao bound, where amplitude and offset are unknown too. No
    unbiased estimator has smaller ones.
    """
    model = gabor if kind == "gabor" else dog
    size = planted.kernels.shape[1]
    steps = 1e-5
    columns = [model(planted.parameters, size), np.ones((len(planted.noise), size * size))]
    for name, value in planted.parameters.items():
        above, below = (model({**planted.parameters, name: value + sign * steps}, size) for sign in (1, -1))
        columns.append((above - below) / (2 * steps))
    jacobian = np.stack(columns, 2)
    information = np.swapaxes(jacobian, 1, 2) @ jacobian
    scale = np.sqrt(np.diagonal(information, axis1=1, axis2=2))
    inverse = np.linalg.pinv(information / scale[:, :, None] / scale[:, None], hermitian=True)
    deviation = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2)) / scale * planted.noise[:, None]
    found = {}
    for i, (name, value) in enumerate(planted.parameters.items(), start=2):
        unit = {"orientation": math.pi, "phase": 2 * math.pi, "center_x": size, "center_y": size}.get(name, value)
        with np.errstate(divide="ignore"):
            found[name] = 2 * norm.cdf(TOLERANCE * unit / deviation[:, i]) - 1
    return found
