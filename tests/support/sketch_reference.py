"""Sketches written down once more in numpy and float64, which ours are held against."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.sketch import LayerSketch

Weight = NDArray[np.float32]


def summary(weight: Weight) -> LayerSummary:
    finite = np.abs(weight[np.isfinite(weight)])
    return LayerSummary(
        shape=weight.shape,
        n_kernels=weight.shape[0] * weight.shape[1],
        taps=math.prod(weight.shape[2:]),
        max_abs=float(finite.max(initial=0)),
    )


def sketched(weight: Weight, cuts: tuple[int, ...] = ()) -> dict[str, Any]:
    """Ours, of a layer that comes in parts."""
    layer = LayerSketch(summary(weight))
    for part in np.split(weight, sorted(cuts)):
        layer.update(torch.from_numpy(part))
    return layer.finish()


def cosine(size: tuple[int, ...], frequency: tuple[int, ...], tap: tuple[int, ...]) -> float:
    """One number of the orthonormal n-D DCT-II, by its formula."""
    value = 1.0
    for k, f, x in zip(size, frequency, tap, strict=True):
        value *= math.sqrt((1 if f == 0 else 2) / k) * math.cos(math.pi * (2 * x + 1) * f / (2 * k))
    return value


def dct(size: tuple[int, ...]) -> NDArray[np.float64]:
    """The dense transform, rows and columns row-major."""
    places = list(itertools.product(*map(range, size)))
    return np.array([[cosine(size, f, x) for x in places] for f in places])


def paper_scaled(kernels: Weight) -> NDArray[np.float64]:
    """Cast to float16, then over the largest magnitude, in float16."""
    half = kernels.astype(np.float16)
    tops = np.abs(half).max(1, keepdims=True)
    return (half / np.where(tops == 0, np.float16(1), tops)).astype(np.float64)


def packed(data: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = data - data.mean(0)
    return (centred.T @ centred)[np.triu_indices(data.shape[1])]
