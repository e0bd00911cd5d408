"""Parametric models of a kernel, linear in some parameters: a Gabor function, and a difference of Gaussians."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import torch
from torch import Tensor

# Standard deviations of Gaussians in pixels: below the least, a Gaussian is a single tap wherever its center is.
MIN_WIDTH: Final = 0.3
# Least and largest width of the surround over that of the center.
MIN_RATIO: Final = 1.1
MAX_RATIO: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Basis:
    """A model at some nonlinear parameters.

    Attributes:
        columns: What the linear parameters multiply [B, L, taps].
        derivative: Maps linear parameters [B, L] to the derivatives of the model with respect to the nonlinear
            parameters [B, P, taps].
    """

    columns: Tensor
    derivative: Callable[[Tensor], Tensor]


class KernelModel(Protocol):
    """A model m = sum_l c_l phi_l(p) of a kernel, with linear parameters c [L] and nonlinear parameters p [P]."""

    @property
    def n_parameters(self) -> int:
        """Number of linear and nonlinear parameters."""
        ...

    def basis(self, parameters: Tensor) -> Basis:
        """Evaluate the model at nonlinear parameters [B, P]."""
        ...

    def clamp(self, parameters: Tensor) -> Tensor:
        """Move nonlinear parameters [B, P] to the nearest ones within their bounds."""
        ...


class Grid:
    """The coordinates of the taps of a kernel, in pixels from its middle: x to the right, y downward.

    Attributes:
        size: Height and width.
        x: float64 [taps].
        y: float64 [taps].
    """

    def __init__(self, size: tuple[int, int], device: torch.device) -> None:
        """Lay out the taps of kernels of a size, row by row."""
        self.size = size
        dtype = working_dtype(device)
        rows, columns = (torch.arange(n, dtype=dtype, device=device) - (n - 1) / 2 for n in size)
        self.x = columns.repeat(size[0])
        self.y = rows.repeat_interleave(size[1])

    def clamp_center(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Move points to the nearest ones within the window."""
        height, width = self.size
        return x.clamp(-width / 2, width / 2), y.clamp(-height / 2, height / 2)


def working_dtype(device: torch.device) -> torch.dtype:
    """Return the precision of fits on a device: float64, except on MPS, which has none."""
    return torch.float32 if device.type == "mps" else torch.float64


class GaborModel:
    """A Gabor function with an offset (Gabor 1946, Daugman 1985).

    m(x, y) = A exp(-x'^2 / 2 a^2 - y'^2 / 2 b^2) cos(2 pi f x' + phi) + c, where x' = (x - x0) cos t + (y - y0) sin t
    runs along the wave and y' = -(x - x0) sin t + (y - y0) cos t across it.

    Nonlinear parameters: x0, y0, log f, t, log a, log b. Linear: A cos phi, -A sin phi, c. Bounds: the center lies
    in the window; the wave has at least half a cycle across the window and no component above the Nyquist frequency;
    widths are between 0.3 pixels and the window.
    """

    n_parameters: Final = 9

    def __init__(self, grid: Grid) -> None:
        """Take the taps of the kernels."""
        self._grid = grid
        self._longest = max(grid.size)

    def basis(self, parameters: Tensor) -> Basis:
        """Evaluate the model at nonlinear parameters [B, 6]."""
        x0, y0, log_f, angle, log_a, log_b = parameters[:, :, None].unbind(1)
        cosine, sine = angle.cos(), angle.sin()
        dx, dy = self._grid.x - x0, self._grid.y - y0
        along, across = dx * cosine + dy * sine, dy * cosine - dx * sine
        inverse_a, inverse_b = (-2 * log_a).exp(), (-2 * log_b).exp()
        square_a, square_b = along * along * inverse_a, across * across * inverse_b
        envelope = (-0.5 * (square_a + square_b)).exp()
        omega = 2 * math.pi * log_f.exp()
        phase = omega * along
        even, odd = envelope * phase.cos(), envelope * phase.sin()

        def derivative(linear: Tensor) -> Tensor:
            a, b = linear[:, 0, None], linear[:, 1, None]
            wave = a * even + b * odd
            turned = omega * (b * even - a * odd)
            d_along = turned - along * inverse_a * wave
            d_across = -across * inverse_b * wave
            return torch.stack(
                [
                    sine * d_across - cosine * d_along,
                    -sine * d_along - cosine * d_across,
                    along * turned,
                    across * d_along - along * d_across,
                    square_a * wave,
                    square_b * wave,
                ],
                1,
            )

        return Basis(columns=torch.stack([even, odd, torch.ones_like(even)], 1), derivative=derivative)

    def clamp(self, parameters: Tensor) -> Tensor:
        """Move nonlinear parameters [B, 6] to the nearest ones within their bounds."""
        x0, y0, log_f, angle, log_a, log_b = parameters.unbind(1)
        x0, y0 = self._grid.clamp_center(x0, y0)
        nyquist = -(2 * torch.maximum(angle.cos().abs(), angle.sin().abs())).log()
        log_f = torch.minimum(log_f.clamp(min=-math.log(2 * self._longest)), nyquist)
        low, high = math.log(MIN_WIDTH), math.log(self._longest)
        return torch.stack([x0, y0, log_f, angle, log_a.clamp(low, high), log_b.clamp(low, high)], 1)


class DogModel:
    """A difference of two round Gaussians of equal volume with an offset (Marr and Hildreth 1980).

    m(x, y) = A (g(r, s) - g(r, s q)) + c with g(r, s) = exp(-r^2 / 2 s^2) / s^2, r the distance from (x0, y0), and q >
    1.

    Nonlinear parameters: x0, y0, log s, log q. Linear: A, c. Bounds: the center lies in the window, s is between 0.3
    pixels and half the window, q between 1.1 and 10.
    """

    n_parameters: Final = 6

    def __init__(self, grid: Grid) -> None:
        """Take the taps of the kernels."""
        self._grid = grid
        self._longest = max(grid.size)

    def basis(self, parameters: Tensor) -> Basis:
        """Evaluate the model at nonlinear parameters [B, 4]."""
        x0, y0, log_s, log_q = parameters[:, :, None].unbind(1)
        dx, dy = self._grid.x - x0, self._grid.y - y0
        square = dx * dx + dy * dy
        inverse_1, inverse_2 = (-2 * log_s).exp(), (-2 * (log_s + log_q)).exp()
        scaled_1, scaled_2 = square * inverse_1, square * inverse_2
        center, surround = inverse_1 * (-0.5 * scaled_1).exp(), inverse_2 * (-0.5 * scaled_2).exp()
        difference = center - surround

        def derivative(linear: Tensor) -> Tensor:
            a = linear[:, 0, None]
            slope = a * (center * inverse_1 - surround * inverse_2)
            by_surround = a * (2 - scaled_2) * surround
            return torch.stack([dx * slope, dy * slope, a * (scaled_1 - 2) * center + by_surround, by_surround], 1)

        return Basis(columns=torch.stack([difference, torch.ones_like(difference)], 1), derivative=derivative)

    def clamp(self, parameters: Tensor) -> Tensor:
        """Move nonlinear parameters [B, 4] to the nearest ones within their bounds."""
        x0, y0, log_s, log_q = parameters.unbind(1)
        x0, y0 = self._grid.clamp_center(x0, y0)
        log_s = log_s.clamp(math.log(MIN_WIDTH), math.log(self._longest / 2))
        return torch.stack([x0, y0, log_s, log_q.clamp(math.log(MIN_RATIO), math.log(MAX_RATIO))], 1)
