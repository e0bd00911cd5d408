"""Populations of models whose kernels have known laws: groups drawn from them, and the true drift between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from filtercrawl_analysis.numerics.dct_basis import BINS, dct_basis, histogram_range
from filtercrawl_analysis.statistics.drift.divergence import paired_drift
from filtercrawl_analysis.statistics.drift.model_histograms import ModelGroupHistograms

Array = np.ndarray
Sizes = Callable[[np.random.Generator, int], Array]

RANGE = 3.0
EDGES = np.linspace(-RANGE, RANGE, BINS + 1)


@dataclass(frozen=True, kw_only=True)
class Population:
    """Models whose coefficients are Laplace distributed, with a location and a scale of their own.

    Attributes:
        spread: Deviation of locations, in scales of the component, and of log scales, between models.
        shift: Location of the population, in scales of the component.
        components: Number of components.
        layers: Layers of each model.
        layer_spread: As `spread`, between the layers of a model.
        mixture: If not None, models mix two fixed laws, at even on average, by weights that vary by so much; the mean
            distribution does not depend on it.
        common: Whether one weight is that of all components, so that models differ in one direction only.
    """

    spread: float = 0.1
    shift: float = 0.0
    components: int = 9
    layers: int = 1
    layer_spread: float = 0.0
    mixture: float | None = None
    common: bool = False

    @property
    def weights(self) -> Array:
        """Weight of each component in the drift."""
        weights = 0.7 ** np.arange(self.components)
        return weights / weights.sum()

    def effects(self, random: np.random.Generator, models: int) -> Array:
        """Draw the standardized locations and log scales of models, [2, models, 1, components]."""
        return random.standard_normal((2, models, 1, self.components))

    def laws(self, random: np.random.Generator, effects: Array) -> Array:
        """Return the bin probabilities of the layers of models, [models, layers, components, bins]."""
        scales = 0.5 * np.sqrt(self.weights * self.components)
        if self.mixture is not None:
            n_weights = 1 if self.common else self.components
            share = (1 + self.mixture * random.uniform(-1, 1, (effects.shape[1], 1, n_weights, 1))) / 2
            return share * laplace_bins(0.6 * scales, scales) + (1 - share) * laplace_bins(-0.6 * scales, scales)
        layer = random.standard_normal((2, effects.shape[1], self.layers, self.components))
        location, log_scale = self.spread * effects + self.layer_spread * layer
        return laplace_bins((self.shift + location) * scales, scales * np.exp(log_scale))

    def mean_distribution(self, random: np.random.Generator, models: int = 20_000) -> Array:
        """Return the distribution of the population, [components, bins]."""
        one_layer = replace(self, layers=1)
        parts = [one_layer.laws(random, one_layer.effects(random, 500)).mean((0, 1)) for _ in range(models // 500)]
        return np.mean(parts, axis=0)


def laplace_bins(location: Array, scale: Array) -> Array:
    """Return the probabilities of the bins under Laplace laws; all beyond the range is in the outer bins."""
    z = (EDGES - location[..., None]) / scale[..., None]
    cdf = np.where(z < 0, np.exp(np.minimum(z, 0)) / 2, 1 - np.exp(-np.maximum(z, 0)) / 2)
    cdf[..., 0], cdf[..., -1] = 0, 1
    return np.diff(cdf)


def true_drift(first: Population, second: Population, models: int = 20_000) -> float:
    """Return D between two populations, from bin probabilities of so many models, equal but for the shift."""
    p, q = (population.mean_distribution(np.random.default_rng(0), models) for population in (first, second))
    return float(paired_drift(p + 1e-15, q + 1e-15, first.weights))


def lognormal(median: float, deviation: float = 0.5) -> Sizes:
    """Return a law of numbers of kernels of models, at least 20."""
    return lambda random, n: np.maximum(20, median * np.exp(deviation * random.standard_normal(n))).astype(np.int64)


def draw_histograms(random: np.random.Generator, laws: Array, kernels: Array) -> Array:
    """Draw the histograms of models, their kernels in equal parts from their layers, [models, components, bins]."""
    layers = laws.shape[1]
    per_layer = np.maximum(kernels // layers, 1)[:, None, None]
    return random.multinomial(np.broadcast_to(per_layer, laws.shape[:-1]), laws).sum(1)


def two_groups(
    random: np.random.Generator,
    populations: tuple[Population, Population],
    models: tuple[int, int],
    sizes: tuple[Sizes, Sizes],
) -> ModelGroupHistograms:
    """Draw two groups of different models."""
    counts = [
        draw_histograms(random, population.laws(random, population.effects(random, n)), size(random, n))
        for population, n, size in zip(populations, models, sizes, strict=True)
    ]
    return cells_of(counts, [np.arange(models[0]), models[0] + np.arange(models[1])], populations[0].weights)


def crossed_groups(
    random: np.random.Generator,
    populations: tuple[Population, Population],
    models: int,
    sizes: tuple[Sizes, Sizes],
    alone: tuple[int, int] = (0, 0),
) -> ModelGroupHistograms:
    """Draw two groups of the same models, whose parts share location and scale, and of `alone` models of one group."""
    shared = populations[0].effects(random, models)
    counts, names, start = [], [], models
    for population, size, extra in zip(populations, sizes, alone, strict=True):
        effects = np.concatenate([shared, population.effects(random, extra)], axis=1)
        counts.append(draw_histograms(random, population.laws(random, effects), size(random, models + extra)))
        names.append(np.concatenate([np.arange(models), start + np.arange(extra)]))
        start += extra
    return cells_of(counts, names, populations[0].weights)


def cells_of(counts: list[Array], models: list[Array], weights: Array) -> ModelGroupHistograms:
    """Make cells of the histograms of two groups."""
    return ModelGroupHistograms(
        group=np.repeat(np.arange(2), [len(part) for part in counts]).astype(np.int64),
        model=np.concatenate(models).astype(np.int64),
        counts=np.concatenate(counts).astype(np.float64),
        bin_width=2 * RANGE / BINS,
        weights=weights,
        n_groups=2,
    )


def kernel_groups(
    random: np.random.Generator,
    kernel_size: tuple[int, ...],
    models: tuple[int, int],
    sizes: tuple[Sizes, Sizes],
    *,
    exact: bool,
) -> ModelGroupHistograms:
    """Draw kernels with neighboring taps correlated, scale and project them as the analysis does, and count.

    Args:
        random: Source of random numbers.
        kernel_size: Taps along each axis.
        models: Number of models in each group.
        sizes: Laws of their numbers of kernels.
        exact: Whether to use the principal components of all kernels and their own range, not the fixed basis.
    """
    taps = int(np.prod(kernel_size))
    basis = dct_basis(kernel_size)
    parts = []
    for n in np.concatenate([size(random, k) for size, k in zip(sizes, models, strict=True)]):
        smoothness = np.exp(-0.15 * np.arange(taps) * np.exp(0.2 * random.standard_normal()))
        kernels = (random.laplace(size=(n, taps)) * smoothness) @ basis
        parts.append(kernels / np.abs(kernels).max(1, keepdims=True))
    kernels, owners = np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    if exact:
        values, vectors = np.linalg.eigh(np.cov(kernels.T))
        coefficients = (kernels - kernels.mean(0)) @ vectors[:, ::-1]
        low, high = float(coefficients.min()), float(coefficients.max())
        weights = values[::-1] / values.sum()
    else:
        coefficients = kernels @ basis.T
        low, high = histogram_range(taps)
        variance = (coefficients**2).mean(0)
        weights = variance / variance.sum()
    bins = np.clip(((coefficients - low) / (high - low) * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.zeros((len(parts), taps, BINS))
    for component in range(taps):
        np.add.at(counts[:, component], (owners, bins[:, component]), 1)
    split = [counts[: models[0]], counts[models[0] :]]
    return cells_of(split, [np.arange(models[0]), models[0] + np.arange(models[1])], weights)
