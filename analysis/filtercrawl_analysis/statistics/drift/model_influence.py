"""How far the drift between two groups moves when each model is left out: exact, from merged sketches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from filtercrawl_analysis.numerics.moments import Array, Moments
from filtercrawl_analysis.statistics.components.coefficients import CoefficientHistograms
from filtercrawl_analysis.statistics.components.model_influence import Row, influence_rows
from filtercrawl_analysis.statistics.components.share_intervals import leave_one_out, shares_along
from filtercrawl_analysis.statistics.drift.divergence import paired_drift, pairwise_drift, probabilities
from filtercrawl_analysis.statistics.drift.group_cells import MIN_KERNELS
from filtercrawl_analysis.statistics.groups.labels import LayerGroups, ordered_labels

# Of a group of one model, nothing is left without it.
MIN_MODELS_OF_GROUP: Final = 2


@dataclass(frozen=True, kw_only=True)
class ModelHistograms:
    """Histograms of coefficients of one kernel size by unit, and what each model contributes.

    Attributes:
        kernel: The kernel size.
        units: Layers combined into units.
        histograms: Histograms by unit.
        models: The models, in the order of `moments`.
        moments: Moments of the scaled kernels of each model.
    """

    kernel: str
    units: LayerGroups
    histograms: CoefficientHistograms
    models: list[str]
    moments: Moments

    def of_group(self, column: str, group: str) -> Array:
        """Return the histograms of a group by model, [models, components, bins]."""
        places = {model: i for i, model in enumerate(self.models)}
        counts = np.zeros((len(self.models), *self.histograms.counts.shape[1:]))
        for unit, (label, model) in enumerate(
            zip(self.units.labels[column], self.units.labels["model_id"], strict=True)
        ):
            if label == group and model in places:
                counts[places[model]] += self.histograms.counts[unit]
        return counts


def drift_influence(data: ModelHistograms, column: str, pairs: int) -> Iterator[Row]:
    """Yield rows of `INFLUENCE`: the largest drifts between groups of a column, with each model left out.

    The histograms of a model are subtracted from those of its groups, and its moments from those of all kernels, which
    give the weights of the components: D without a model is that of a dataset without it.

    Args:
        data: The histograms.
        column: The column.
        pairs: Number of pairs, those with the largest drift of groups of two models or more.
    """
    # The sum over models of each group; what each model has is kept of two groups at a time alone.
    totals: dict[str, Array] = {}
    for group in ordered_labels(data.units.labels[column], data.units.kernels):
        counts = data.of_group(column, group)
        kernels = counts[:, 0].sum(-1)
        if kernels.sum() >= MIN_KERNELS and (kernels > 0).sum() >= MIN_MODELS_OF_GROUP:
            totals[group] = counts.sum(0)
    for first, second in _largest(totals, data.histograms, pairs):
        a, b = data.of_group(column, first), data.of_group(column, second)
        quantity = {
            "what": "drift",
            "kernel": data.kernel,
            "column": column,
            "group_a": first,
            "group_b": second,
        }
        value, without = _drift_without_each(a, b, data)
        kernels = (a + b)[:, 0].sum(-1)
        yield from influence_rows(quantity, data.models, kernels, value, without)


def _largest(totals: dict[str, Array], histograms: CoefficientHistograms, count: int) -> list[tuple[str, str]]:
    """Return the pairs of groups with the largest drift, from the histogram of each."""
    names = list(totals)
    if len(names) < 2:
        return []
    p = probabilities(np.stack(list(totals.values())), histograms.space.bin_width)
    drift = pairwise_drift(p, p, histograms.space.weights)
    pairs: Sequence[tuple[int, int]] = sorted(combinations(range(len(names)), 2), key=lambda pair: -drift[pair])
    return [(names[a], names[b]) for a, b in pairs[:count]]


def _drift_without_each(a: Array, b: Array, data: ModelHistograms) -> tuple[float, Array]:
    """Return the drift between two groups, and without each model; NaN where too few kernels would be left."""
    space = data.histograms.space
    totals = np.stack([a.sum(0), b.sum(0)])
    p, q = probabilities(totals, space.bin_width)
    value = paired_drift(p, q, space.weights)
    scatter = leave_one_out(data.moments).scatter
    without = np.full(len(data.models), np.nan)
    for model in range(len(data.models)):
        rest = totals - np.stack([a[model], b[model]])
        if rest[:, 0].sum(-1).min() < MIN_KERNELS or not np.trace(scatter[model]) > 0:
            continue
        (weights,) = shares_along(space.basis)(scatter[model : model + 1])
        first, second = probabilities(rest, space.bin_width)
        without[model] = paired_drift(first, second, weights)
    return float(value), without
