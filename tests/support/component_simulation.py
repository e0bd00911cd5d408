"""Models whose kernels and layers have known laws, to measure intervals and tests over models against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Moments
from filtercrawl_analysis.statistics.components.share_intervals import (
    are_distinct,
    compare_shares,
    jackknife_shares,
    ordered_shares,
    share_intervals,
    shares_along,
)
from filtercrawl_analysis.statistics.groups.model_medians import (
    compare_medians,
    median_by_model,
    median_interval,
    sign_test,
)

Array = NDArray[np.float64]

# Shares of the variance along each component: published for 3x3 kernels, two equal pairs, 1-D kernels of 3 taps, 5x5.
SPECTRA: Final = {
    "3x3": np.array([0.3982, 0.1833, 0.1170, 0.0985, 0.0658, 0.0552, 0.0301, 0.0282, 0.0237]),
    "3x3, equal pairs": np.array([0.30, 0.15, 0.15, 0.10, 0.10, 0.08, 0.06, 0.04, 0.02]),
    "3": np.array([0.6, 0.3, 0.1]),
    "5x5": 0.85 ** np.arange(25) / (0.85 ** np.arange(25)).sum(),
}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What is planted.

    Attributes:
        models: Number of models.
        spread: Standard deviation of the logarithm of each model's variance along each component.
        sizes: Standard deviation of the logarithm of the number of kernels.
        kernels: Median number of kernels of a model.
    """

    models: int
    spread: float = 0.3
    sizes: float = 0.0
    kernels: int = 1000


def model_moments(
    random: np.random.Generator, spectrum: Array, planted: Planted, effect: Array | None = None
) -> Moments:
    """Draw the moments of normal kernels of each model, whose components are the axes.

    Args:
        random: Source of random numbers.
        spectrum: Variance along each axis, in the mean over models up to a common factor.
        planted: The models.
        effect: Standard normal effects of models on the variances [models, taps]; by default drawn.
    """
    taps, models = len(spectrum), planted.models
    drawn = np.exp(planted.sizes * random.standard_normal(models)) * planted.kernels
    n = np.maximum(np.round(drawn), taps + 2)
    z = random.standard_normal((models, taps)) if effect is None else effect
    variance = spectrum * np.exp(planted.spread * z)
    # The factor of Bartlett: lower triangle of a Wishart matrix of n - 1 degrees of freedom.
    factor = np.tril(random.standard_normal((models, taps, taps)), -1)
    axis = np.arange(taps)
    factor[:, axis, axis] = np.sqrt(random.chisquare(n[:, None] - 1 - axis))
    factor *= np.sqrt(variance)[:, :, None]
    mean = random.standard_normal((models, taps)) * np.sqrt(variance / n[:, None])
    return Moments(n=n, mean=mean, scatter=factor @ np.swapaxes(factor, 1, 2))


def share_coverage(
    random: np.random.Generator, spectrum: Array, planted: Planted, repetitions: int
) -> tuple[Array, Array]:
    """Return how often intervals cover the true shares [taps], and neighbors are called distinct [taps - 1]."""
    truth = spectrum / spectrum.sum()
    covered, apart = np.zeros(len(spectrum)), np.zeros(len(spectrum) - 1)
    for _ in range(repetitions):
        found = jackknife_shares(model_moments(random, spectrum, planted), np.arange(planted.models), ordered_shares)
        assert found is not None
        low, high = share_intervals(found)
        covered += (low <= truth) & (truth <= high)
        apart += [are_distinct(low[i : i + 2], high[i : i + 2])[0] for i in range(len(spectrum) - 1)]
    return covered / repetitions, apart / repetitions


def share_p_values(
    random: np.random.Generator,
    sets: tuple[Planted, Planted],
    repetitions: int,
    *,
    crossed: bool = False,
    shift: float = 0,
) -> Array:
    """Return p-values of equal shares along the first of nine components in two sets of layers.

    Args:
        random: Source of random numbers.
        sets: Models of both sets; if `crossed`, the same models, whose effects correlate by 0.8.
        repetitions: Number of p-values.
        crossed: Whether models have layers in both sets.
        shift: By how much the logit of the share is larger in the first set.
    """
    first, second = sets
    spectrum = SPECTRA["3x3"]
    share = spectrum[0] / spectrum.sum()
    shifted = spectrum.copy()
    odds = share / (1 - share) * np.exp(shift)
    shifted[0] = odds * spectrum[1:].sum()
    p_values = np.empty(repetitions)
    along = shares_along(np.eye(len(spectrum)))
    for i in range(repetitions):
        a = random.standard_normal((first.models, 9))
        b = 0.8 * a + 0.6 * random.standard_normal(a.shape) if crossed else None
        offset = 0 if crossed else first.models
        one = jackknife_shares(model_moments(random, shifted, first, a), np.arange(first.models), along)
        other = jackknife_shares(model_moments(random, spectrum, second, b), np.arange(second.models) + offset, along)
        assert one is not None
        assert other is not None
        p_values[i] = compare_shares(one, other)[0]
    return p_values


@dataclass(frozen=True, kw_only=True)
class PlantedLayers:
    """Layers of models, each a number; the median of a model has the median `shift` over models, before it is mapped.

    Attributes:
        models: Number of models.
        between: Standard deviation of the models' effects; that of layers within a model is 1.
        layers: Mean number of layers of a model, from a geometric law, made odd.
        shift: What is added to all numbers.
        skewed: Whether numbers are mapped by the exponential function.
    """

    models: int
    between: float = 1.0
    layers: int = 10
    shift: float = 0.0
    skewed: bool = False


def layer_medians(
    random: np.random.Generator, planted: PlantedLayers, effect: Array | None = None, prefix: str = ""
) -> dict[str, float]:
    """Draw layers and return the median of each model."""
    counts = random.geometric(1 / planted.layers, planted.models) // 2 * 2 + 1  # odd: no mean of two layers
    z = random.standard_normal(planted.models) if effect is None else effect
    values = np.repeat(planted.shift + z * planted.between, counts) + random.standard_normal(counts.sum())
    names = [f"{prefix}{model}" for model in np.repeat(np.arange(planted.models), counts).tolist()]
    return median_by_model(np.exp(values) if planted.skewed else values, names)


def median_coverage(random: np.random.Generator, planted: PlantedLayers, repetitions: int) -> tuple[float, Array]:
    """Return how often intervals cover the true median, and the p-values of it by the sign test, 1 without a test."""
    truth = 1.0 if planted.skewed else 0.0
    covered, p_values = 0, np.ones(repetitions)
    for i in range(repetitions):
        values = list(layer_medians(random, planted).values())
        interval = median_interval(values)
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
        p_values[i] = sign_test(values, truth) or 1.0
    return covered / repetitions, p_values


def median_p_values(
    random: np.random.Generator,
    sets: tuple[PlantedLayers, PlantedLayers],
    repetitions: int,
    *,
    crossed: bool = False,
) -> Array:
    """Return p-values of equal medians in two sets of layers, 1 without a test; see `share_p_values`."""
    first, second = sets
    p_values = np.ones(repetitions)
    for i in range(repetitions):
        a = random.standard_normal(first.models)
        b = 0.8 * a + 0.6 * random.standard_normal(first.models) if crossed else None
        inside = layer_medians(random, first, a)
        outside = layer_medians(random, second, b, "" if crossed else "other ")
        p_values[i] = compare_medians(inside, outside) or 1.0
    return p_values
