"""The rules for the kernels of one layer, by its weights. The same numbers give the same answer on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.subsets.recipe import Equality, KernelRules

Mask = NDArray[np.bool_]
Kernels = NDArray[np.float32]

_SMALLEST: Final = np.finfo(np.float32).smallest_subnormal


def failing_kernels(kernels: Kernels, rules: KernelRules) -> Iterator[tuple[str, Mask]]:
    """Yield each rule that is stated, and which kernels of a layer it excludes [n].

    Args:
        kernels: float32 `[n, taps]`, all kernels of the layer.
        rules: The rules.
    """
    finite: Mask = np.asarray(np.isfinite(kernels).all(axis=1))
    if rules.finite:
        yield "nonfinite", ~finite
    if rules.dead_below:
        peaks = np.abs(kernels).max(axis=1)
        largest = np.abs(kernels[np.isfinite(kernels)]).max(initial=0)
        # Compared in float32, as `n_dead` of `index` is; in a layer of zeros all kernels are dead.
        with np.errstate(over="ignore"):
            threshold = max(np.float32(largest) / np.float32(1 / rules.dead_below), _SMALLEST)
        dead: Mask = peaks < threshold
        yield "dead", finite & dead
    if rules.min_norm is not None or rules.max_norm is not None:
        norms = _norms(kernels)
        low = -np.inf if rules.min_norm is None else rules.min_norm
        high = np.inf if rules.max_norm is None else rules.max_norm
        yield "norm", ~((norms >= low) & (norms <= high))


def canonical_bytes(kernels: Kernels, equality: Equality) -> Kernels:
    """Return kernels so that those that are equal have the same bytes, float32 `[n, taps]`.

    Zeros lose their sign. For `sign` the first number that is not zero becomes positive. For `scale` a kernel is
    divided by its largest magnitude in float32: copies are found whose factor did not round, such as a power of two.
    """
    found = kernels + np.float32(0)
    if equality in ("scale", "scale_and_sign"):
        peaks = np.abs(found).max(axis=1, keepdims=True)
        peaks[~np.isfinite(peaks) | (peaks == 0)] = 1
        found = found / peaks + np.float32(0)  # a quotient may round to a zero with a sign
    if equality in ("sign", "scale_and_sign"):
        first = np.take_along_axis(found, (found != 0).argmax(axis=1)[:, None], axis=1)
        found = np.where(first < 0, -found, found) + np.float32(0)
    return np.ascontiguousarray(found, np.dtype("<f4"))


def _norms(kernels: Kernels) -> NDArray[np.float64]:
    """Return L2 norms [n], summed tap by tap: a sum along an axis has another order on other processors."""
    sums = np.zeros(len(kernels))
    for taps in kernels.T:
        numbers = taps.astype(np.float64)
        sums += numbers * numbers
    return np.sqrt(sums)
