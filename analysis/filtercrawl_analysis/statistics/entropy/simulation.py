"""Variance entropy of layers of independent weights, by putting weights in random order or drawing covariances."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy import special

from filtercrawl_analysis.numerics.moments import Array

# Numbers held at a time.
_CHUNK: Final = 4_000_000


def variance_entropies(layers: Array) -> Array:
    """Return the variance entropy (base 10) of layers.

    Args:
        layers: [draws, kernels, taps].

    Returns:
        Entropies [draws]; 0 for a layer of equal kernels.
    """
    centered = layers - layers.mean(1, keepdims=True)
    transposed = np.swapaxes(centered, 1, 2)
    return _entropies(centered @ transposed if layers.shape[1] < layers.shape[2] else transposed @ centered)


def _entropies(scatter: Array) -> Array:
    p = np.maximum(np.linalg.eigvalsh(scatter), 0)
    p /= np.maximum(p.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    entropies: Array = -(p * np.log10(np.where(p > 0, p, 1.0))).sum(1)
    return np.maximum(entropies, 0)


def permuted_entropies(weights: Array, shape: tuple[int, int], draws: int, random: np.random.Generator) -> Array:
    """Draw the variance entropy of layers that hold the same weights in random order.

    Args:
        weights: The weights [kernels * taps].
        shape: Kernels and taps.
        draws: Number of layers.
        random: Source of random numbers.

    Returns:
        Entropies [draws].
    """
    parts = []
    step = max(1, _CHUNK // len(weights))
    for start in range(0, draws, step):
        layers = np.tile(weights, (min(step, draws - start), 1))
        parts.append(variance_entropies(random.permuted(layers, axis=1, out=layers).reshape(-1, *shape)))
    return np.concatenate(parts)


def kernelwise_permuted_entropies(kernels: Array, draws: int, random: np.random.Generator) -> Array:
    """Draw the variance entropy of layers whose kernels hold the same weights in random order, with random signs.

    Args:
        kernels: The kernels [n, taps].
        draws: Number of layers.
        random: Source of random numbers.

    Returns:
        Entropies [draws].
    """
    parts = []
    step = max(1, _CHUNK // kernels.size)
    for start in range(0, draws, step):
        layers = np.tile(kernels, (min(step, draws - start), 1, 1))
        random.permuted(layers, axis=2, out=layers)
        layers *= random.integers(0, 2, layers.shape, dtype=np.int8) * 2 - 1
        parts.append(variance_entropies(layers))
    return np.concatenate(parts)


def weights_of_kurtosis(count: int, kurtosis: float) -> Array:
    """Return `count` numbers of mean 0 with about this excess kurtosis, or the nearest that is possible.

    Above 0, a share of them are quantiles of a normal distribution and the others are zero: of the distributions with
    one kurtosis, those with few sizes of outliers have the longest tail of the entropy. Below 0, they are powers of
    normal quantiles, down to two values of equal size.
    """
    if kurtosis > 0:
        low, high = 2, count
        while low < high:
            middle = (low + high) // 2
            if _kurtosis(_normal_quantiles(middle), count) > kurtosis:
                low = middle + 1
            else:
                high = middle
        return np.concatenate([_normal_quantiles(low), np.zeros(count - low)])
    normal = _normal_quantiles(count)
    exponent, step = 0.5, 0.25
    for _ in range(20):
        exponent += step if _kurtosis(np.abs(normal) ** exponent, count) < kurtosis else -step
        step /= 2
    powers: Array = np.sign(normal) * np.abs(normal) ** exponent
    return powers


def _normal_quantiles(count: int) -> Array:
    quantiles: Array = special.ndtri((np.arange(count) + 0.5) / count)
    return quantiles


def _kurtosis(numbers: Array, count: int) -> float:
    """Return the excess kurtosis of numbers of mean 0 and so many zeros that they are `count`."""
    squares = numbers**2
    return float(count * (squares**2).sum() / squares.sum() ** 2 - 3)


def simulate_covariances(n_kernels: int, taps: int, kurtosis: float, draws: int, random: np.random.Generator) -> Array:
    """Draw the variance entropy of layers of many kernels of independent weights.

    For n normal kernels, the covariance has a Wishart distribution with n - 1 degrees of freedom. It is drawn by
    Bartlett's decomposition (1933): A A^T with A lower triangular, where the diagonal is chi with n - 1, n - 2, ...
    degrees of freedom and the rest is standard normal. Another distribution of the weights changes, in first order,
    only the variance on the diagonal, from 2 / n to (kurtosis + 2) / n; deviations there are rescaled accordingly.

    Args:
        n_kernels: Kernels per layer, more than taps.
        taps: Weights per kernel.
        kurtosis: Excess kurtosis of the weights, at least -2.
        draws: Number of layers.
        random: Source of random numbers.

    Returns:
        Entropies [draws].
    """
    diagonal = np.arange(taps)
    parts = []
    step = max(1, _CHUNK // taps**2)
    for start in range(0, draws, step):
        count = min(step, draws - start)
        root = np.tril(random.standard_normal((count, taps, taps)), -1)
        root[:, diagonal, diagonal] = np.sqrt(random.chisquare(n_kernels - 1 - diagonal, (count, taps)))
        covariance = root @ np.swapaxes(root, 1, 2) / (n_kernels - 1)
        variances = covariance[:, diagonal, diagonal]
        covariance[:, diagonal, diagonal] = 1 + math.sqrt(kurtosis / 2 + 1) * (variances - 1)
        parts.append(_entropies(covariance))
    return np.concatenate(parts)
