"""Names of the forms that recur in depthwise kernels, by correlation with templates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array

ON_CENTER: Final = "on-center"
OFF_CENTER: Final = "off-center"
CROSS: Final = "cross"
HORIZONTAL: Final = "horizontal derivative"
VERTICAL: Final = "vertical derivative"
DIAGONAL: Final = "diagonal derivative"
SECOND: Final = "second derivative"
SADDLE: Final = "saddle"
OFFSET: Final = "offset"
FLAT: Final = "flat"
OTHER: Final = "other"
NOISE: Final = "noise-like"
NAMES: Final = (
    ON_CENTER, OFF_CENTER, HORIZONTAL, VERTICAL, DIAGONAL, SECOND, SADDLE, CROSS, OFFSET, FLAT, OTHER, NOISE,
)  # fmt: skip

# A kernel has the name of a template with at least this magnitude of correlation: 72 % of its variance.
THRESHOLD: Final = 0.85
# A kernel is flat if at least this share of its energy is its mean.
_FLAT_ENERGY: Final = 0.9
# Random orders of its weights that a kernel is compared with: p = 1 / 20 is the least.
_ORDERS: Final = 19
# Standard deviations of Gaussians: from this many pixels to this share of the kernel, in steps of at most this factor.
_NARROWEST: Final = 0.7
_WIDEST: Final = 0.25
_WIDTH_STEP: Final = 1.4
# Directions within half a turn.
_DIRECTIONS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Templates:
    """Templates of one kernel size.

    Attributes:
        positive: Name of a kernel that correlates with each.
        negative: Name of a kernel whose negative does.
        rows: Mean 0 and norm 1 [N, taps].
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    rows: Array

    def best(self, kernels: Array) -> tuple[Array, NDArray[np.int64]]:
        """Return the correlation of largest magnitude of each kernel [k, taps] with a template, and which it is [k]."""
        centered = kernels - kernels.mean(1, keepdims=True)
        norm = np.linalg.norm(centered, axis=1, keepdims=True)
        correlations = np.divide(centered, norm, out=np.zeros_like(centered), where=norm > 0) @ self.rows.T
        which = np.abs(correlations).argmax(1)
        return np.take_along_axis(correlations, which[:, None], 1)[:, 0], which

    def names(self, kernels: Array) -> NDArray[np.str_]:
        """Return the name of each kernel [k, taps]; `other` where no template is near."""
        correlation, which = self.best(kernels)
        named = np.where(
            correlation >= THRESHOLD,
            np.array(self.positive)[which],
            np.where(correlation <= -THRESHOLD, np.array(self.negative)[which], OTHER),
        )
        energy = (kernels**2).mean(1)
        return np.where(kernels.mean(1) ** 2 >= _FLAT_ENERGY * energy, FLAT, named)


@dataclass(frozen=True, kw_only=True)
class NamedKernels:
    """Names of kernels, and those of the same kernels with their weights in random order.

    Attributes:
        names: One of `NAMES` for each kernel [k].
        shuffled: The same by chance: for each kernel with its weights in random order [k].
    """

    names: NDArray[np.str_]
    shuffled: NDArray[np.str_]


@lru_cache(maxsize=32)
def templates(size: tuple[int, int]) -> Templates:
    """Return the templates of a kernel size: functions sampled at the taps, scaled to mean 0 and norm 1."""
    named = list(_templates(size))
    rows = np.array([row for _, _, row in named])
    rows -= rows.mean(1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Templates(
        positive=tuple(name for name, _, _ in named), negative=tuple(name for _, name, _ in named), rows=rows
    )


def _templates(size: tuple[int, int]) -> Iterator[tuple[str, str, Array]]:
    y, x = (axis.ravel() - (n - 1) / 2 for axis, n in zip(np.indices(size), size, strict=True))
    square = x**2 + y**2
    for width in _widths(min(size)):
        gaussian = np.exp(-square / 2 / width**2)
        wide = 1.6 * width
        yield ON_CENTER, OFF_CENTER, gaussian
        yield ON_CENTER, OFF_CENTER, gaussian / width**2 - np.exp(-square / 2 / wide**2) / wide**2
        for step in range(_DIRECTIONS):
            angle = step * math.pi / _DIRECTIONS
            along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            name = _direction(angle)
            yield name, name, along * gaussian
            yield SECOND, SECOND, (1 - (along / width) ** 2) * gaussian
            yield SECOND, SECOND, np.exp(-((along / width) ** 2) / 2)
            yield SADDLE, SADDLE, along * across * gaussian
    for width in (0.4, _NARROWEST):
        for u, v in ((x, y), ((x + y) / math.sqrt(2), (x - y) / math.sqrt(2))):
            yield CROSS, CROSS, np.exp(-np.minimum(u**2, v**2) / 2 / width**2)
        for cx, cy in zip(x, y, strict=True):
            if max(abs(cx), abs(cy)) >= 1 and (width < _NARROWEST or min(size) > 3):
                yield OFFSET, OFFSET, np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2 / width**2)


def _widths(short: int) -> Array:
    widest = max(_NARROWEST, _WIDEST * short)
    return np.geomspace(_NARROWEST, widest, 1 + math.ceil(math.log(widest / _NARROWEST) / math.log(_WIDTH_STEP)))


def _direction(angle: float) -> str:
    if abs(math.cos(angle)) > math.cos(math.pi / 8):
        return HORIZONTAL
    return VERTICAL if abs(math.sin(angle)) > math.cos(math.pi / 8) else DIAGONAL


def name_kernels(kernels: NDArray[np.floating], size: tuple[int, int], random: np.random.Generator) -> NamedKernels:
    """Name kernels after the template that each correlates with best, of either sign.

    A kernel without a name is `noise-like` where its correlation is not among the largest 5 % of those of its own
    weights in random order, and `other` where it is: it has a form, but none of the list.

    Args:
        kernels: Finite kernels that are not all zero [k, taps].
        size: Height and width.
        random: Source of the random orders.
    """
    bank = templates(size)
    wide = kernels.astype(np.float64)
    orders = random.permuted(np.tile(wide, (_ORDERS + 1, 1)), axis=1)
    strength = np.abs(bank.best(orders)[0]).reshape(_ORDERS + 1, -1)
    by_chance = strength[1:].max(0)

    def named(some: Array, own: Array) -> NDArray[np.str_]:
        names = bank.names(some)
        return np.where((names == OTHER) & (own <= by_chance), NOISE, names)

    return NamedKernels(names=named(wide, np.abs(bank.best(wide)[0])), shuffled=named(orders[: len(wide)], strength[0]))
