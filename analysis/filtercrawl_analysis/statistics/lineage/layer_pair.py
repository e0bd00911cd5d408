"""What the weights of two layers of one shape tell about their relation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

Weights = NDArray[np.float32]
Array = NDArray[np.float64]

# Fewer filters have too few permutations to compare with.
MIN_FILTERS: Final = 4
# A part of the layer is enough for the slopes, which need a singular value decomposition.
SLOPE_FILTERS: Final = 128
SLOPE_INPUTS: Final = 64
# Codes of 8 bits have at most 255 steps from one end of a filter to the other.
_MAX_STEPS: Final = 256
# Fewer distinct values may be whole steps apart by chance.
_MIN_LEVELS: Final = 6
# Errors of float32 arithmetic, relative to the value, and to the step of codes.
_ROUNDING: Final = 1e-6
_STEP_TOLERANCE: Final = 1e-3
# Norm of what is left of a layer after the best multiple of the other one, of layers that are multiples.
_MAX_RESIDUAL: Final = 1e-6
_HALF: Final = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# Most numbers of bfloat16 are some of float16 too: the coarser one is tried first.
_COARSE_FIRST: Final = tuple(reversed(_HALF))


@dataclass(frozen=True, kw_only=True)
class LayerPair:
    """Two layers of one shape compared position by position; `a` and `b` are the first and the second.

    All sums are float64 over the weights that are finite in both.

    Attributes:
        n: Number of these weights.
        size: Number of all weights.
        equal: Whether all weights are equal bit for bit.
        equal_values: Whether all are equal as numbers: zeros of either sign, and NaN at the same places.
        nonfinite_a: Number of weights of a that are infinite or NaN.
        nonfinite_b: The same of b.
        rounded_a: `float16` or `bfloat16` if the layers differ and rounding b to that type gives a; else None.
        rounded_b: The same where rounding a gives b.
        half_a: `bfloat16` if that holds every weight of a, else `float16` if that does; else None.
        half_b: The same of b.
        one_origin: Whether a and b are of two different half precisions, and may be roundings of the same numbers.
        dot: Sum of a b.
        square_a: Sum of a^2.
        square_b: Sum of b^2.
        distance: Norm of a - b.
        zeros_a: Number of zeros of a.
        zeros_b: The same of b.
        changed: Number of weights that differ by more than a millionth.
        kept_b: Number of weights other than zero of b that a has too, to a millionth.
        kept_a: Number of weights other than zero of a that b has too.
        codes_a: Share of the weights of a that are b rounded to the steps of a's filters; None if a has no such steps,
            or nothing differs.
        codes_b: Share of the weights of b that are a rounded to the steps of b's filters.
        correlation: Cosine of a and b, each without its mean filter; a permutation of the filters of b has a mean of 0.
            None with fewer than four filters, or without variation.
        z: The correlation in standard deviations of that under a random permutation of the filters of b.
        slopes_a: Slope of b on a in the strongest sixth of the singular directions of a, and in the others; of at most
            128 filters and 64 inputs. None where a has no weights there, or nothing differs.
        slopes_b: The same of a on b.
    """

    n: int
    size: int
    equal: bool
    equal_values: bool
    nonfinite_a: int
    nonfinite_b: int
    rounded_a: str | None
    rounded_b: str | None
    half_a: str | None
    half_b: str | None
    one_origin: bool
    dot: float
    square_a: float
    square_b: float
    distance: float
    zeros_a: int
    zeros_b: int
    changed: int
    kept_a: int
    kept_b: int
    codes_a: float | None
    codes_b: float | None
    correlation: float | None
    z: float | None
    slopes_a: tuple[float, float] | None
    slopes_b: tuple[float, float] | None

    @property
    def factor(self) -> float | None:
        """The f of b = f a; None if the layers are not proportional within the errors of the precision they have."""
        if not self.square_a or not self.square_b:
            return None
        factor = self.dot / self.square_a
        residual = math.sqrt(max(0.0, self.square_b - factor * self.dot) / self.square_b)
        rounding = sum(_relative_error(half) for half in (self.half_a, self.half_b))
        return factor if residual <= max(_MAX_RESIDUAL, rounding) else None

    @property
    def cosine(self) -> float | None:
        """Cosine of the layers; None if one has no weight other than zero."""
        norms = math.sqrt(self.square_a) * math.sqrt(self.square_b)
        return self.dot / norms if norms else None

    @property
    def relative_change(self) -> float | None:
        """Norm of a - b over that of a; None if a is zero."""
        return self.distance / math.sqrt(self.square_a) if self.square_a else None


def compare_weights(a: Weights, b: Weights) -> LayerPair:
    """Compare the weights of two layers.

    Args:
        a: float32 `[out, in/groups, *kernel_size]`.
        b: The same shape.
    """
    flat_a, flat_b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    finite_a, finite_b = np.isfinite(flat_a), np.isfinite(flat_b)
    finite = finite_a & finite_b
    equal_values = np.array_equal(flat_a, flat_b, equal_nan=True)
    equal = equal_values and np.array_equal(_bits(flat_a), _bits(flat_b))
    rounded_a, rounded_b = (None, None) if equal_values else (_rounding(flat_b, flat_a), _rounding(flat_a, flat_b))
    half_a, half_b = (_rounding(flat, flat, _COARSE_FIRST) for flat in (flat_a, flat_b))
    halves, brains = (flat_b, flat_a) if half_a == "bfloat16" else (flat_a, flat_b)
    one_origin = {half_a, half_b} == {*_HALF} and _share_an_origin(halves, brains)
    if not finite.all():
        flat_a, flat_b = np.where(finite, flat_a, 0), np.where(finite, flat_b, 0)
    wide_a, wide_b = flat_a.astype(np.float64), flat_b.astype(np.float64)
    correlation, z = permutation_statistics(*(_without_own_channel(wide, a.shape) for wide in (wide_a, wide_b)))
    close = np.abs(wide_a - wide_b) <= _ROUNDING * np.maximum(np.abs(wide_a), np.abs(wide_b))
    return LayerPair(
        n=int(finite.sum()),
        size=finite.size,
        equal=equal,
        equal_values=equal_values,
        nonfinite_a=int((~finite_a).sum()),
        nonfinite_b=int((~finite_b).sum()),
        rounded_a=rounded_a,
        rounded_b=rounded_b,
        half_a=half_a,
        half_b=half_b,
        one_origin=one_origin,
        dot=float((wide_a * wide_b).sum()),
        square_a=float((wide_a**2).sum()),
        square_b=float((wide_b**2).sum()),
        distance=float(np.linalg.norm(wide_a - wide_b)),
        zeros_a=int(((flat_a == 0) & finite).sum()),
        zeros_b=int(((flat_b == 0) & finite).sum()),
        changed=int((finite & ~close).sum()),
        kept_a=int((close & (flat_a != 0)).sum()),
        kept_b=int((close & (flat_b != 0)).sum()),
        codes_a=None if equal_values else _share_of_codes(wide_b, wide_a),
        codes_b=None if equal_values else _share_of_codes(wide_a, wide_b),
        correlation=correlation,
        z=z,
        slopes_a=None if equal_values else _slopes(flat_a.reshape(a.shape), flat_b.reshape(a.shape)),
        slopes_b=None if equal_values else _slopes(flat_b.reshape(a.shape), flat_a.reshape(a.shape)),
    )


def _bits(weights: Weights) -> NDArray[np.uint8]:
    return np.ascontiguousarray(weights).view(np.uint8)


def _without_own_channel(filters: Array, shape: tuple[int, ...]) -> Array:
    """Set the kernels from each channel onto itself to zero where a layer has as many inputs as outputs.

    Merged skip connections put the identity there, in any two networks.
    """
    if shape[0] != shape[1]:
        return filters
    result = filters.reshape(shape[0], shape[1], -1).copy()
    result[np.arange(shape[0]), np.arange(shape[0])] = 0
    return result.reshape(shape[0], -1)


def permutation_statistics(a: Array, b: Array) -> tuple[float | None, float | None]:
    """Return the correlation of a and b and its z under random permutations of the filters of b.

    With C = A B^T of the filters without their mean, sum_i C[i, p(i)] has the mean 0 and the variance
    ||C||^2 / (filters - 1) over uniform permutations p (Hoeffding 1951, A combinatorial central limit theorem).
    """
    if len(a) < MIN_FILTERS:
        return None, None
    a, b = a - a.mean(0), b - b.mean(0)
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    products = a @ b.T
    spread = float(np.linalg.norm(products)) / math.sqrt(len(a) - 1)
    if not norms or not spread:
        return None, None
    observed = float(np.trace(products))
    return observed / norms, observed / spread


def _slopes(a: Weights, b: Weights) -> tuple[float, float] | None:
    """Return the slopes of b on the strongest singular directions of a and on the others."""
    start, other = (
        x[:SLOPE_FILTERS, :SLOPE_INPUTS].reshape(min(len(x), SLOPE_FILTERS), -1).astype(np.float64) for x in (a, b)
    )
    left, values, right = np.linalg.svd(start, full_matrices=False)
    strongest = max(1, len(values) // 6)
    if len(values) < 2 or not values[strongest:].any():
        return None
    top = (left[:, :strongest] * values[:strongest]) @ right[:strongest]
    rest = start - top
    return float((other * top).sum() / (top**2).sum()), float((other * rest).sum() / (rest**2).sum())


def _rounding(original: Weights, copy: Weights, names: Iterable[str] = tuple(_HALF)) -> str | None:
    """Return the first half precision that turns `original` into `copy`."""
    first = torch.from_numpy(np.ascontiguousarray(original))
    for name in names:
        if np.array_equal(first.to(_HALF[name]).float().numpy(), copy, equal_nan=True):
            return name
    return None


def _relative_error(half: str | None) -> float:
    """Return the largest relative error of rounding to a half precision."""
    return torch.finfo(_HALF[half]).eps / 2 if half is not None else 0.0


def _share_an_origin(halves: Weights, brains: Weights) -> bool:
    """Tell whether there are numbers that round to `halves` in float16 and to `brains` in bfloat16."""
    if not np.array_equal(np.isfinite(halves), np.isfinite(brains)):
        return False
    a, b = np.nan_to_num(halves.astype(np.float64)), np.nan_to_num(brains.astype(np.float64))
    info = torch.finfo(torch.float16)
    # The distance to the next number of each type, which float16 keeps below its smallest normal number.
    spacing = _power_of_two(np.maximum(np.abs(a), info.tiny)) * info.eps
    spacing += _power_of_two(np.maximum(np.abs(b), 2.0**-126)) * torch.finfo(torch.bfloat16).eps
    return bool((np.abs(a - b) <= spacing / 2).all())


def _power_of_two(numbers: Array) -> Array:
    """Return the largest power of two up to each number, exactly; a logarithm may be off on some machines."""
    power: Array = np.ldexp(1.0, np.frexp(numbers)[1] - 1)
    return power


def _share_of_codes(original: Array, codes: Array) -> float | None:
    """Return the share of the weights of `codes` that are `original` rounded to the steps of their filter.

    The step of a filter is the smallest difference of two of its values; all values must be whole steps apart. Filters
    whose codes were clipped differ there from the original.

    Returns:
        The share; None if the values of most filters are not whole steps apart, as those of no trained filter are.
    """
    agreeing = total = 0
    for row, values in zip(original, codes, strict=True):
        if len(np.unique(values[: 2 * _MAX_STEPS])) > _MAX_STEPS:
            continue  # as in almost every filter without codes: the whole filter need not be sorted
        levels = np.unique(values)
        if not _MIN_LEVELS <= len(levels) <= _MAX_STEPS:
            continue
        span = float(levels[-1] - levels[0])
        # The smallest difference has the rounding errors of its two values: the whole span gives the step exactly.
        step = span / max(1, round(span / float(np.diff(levels).min())))
        steps = (levels - levels[0]) / step
        if steps[-1] >= _MAX_STEPS or np.abs(steps - np.rint(steps)).max() > _STEP_TOLERANCE:
            continue
        agreeing += int((np.abs(row - values) <= (0.5 + 2 * _STEP_TOLERANCE) * step).sum())
        total += len(values)
    return agreeing / total if total > codes.size / 2 else None
