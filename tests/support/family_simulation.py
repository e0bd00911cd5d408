"""Families of models from known laws, and what the test of models in their family says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from filtercrawl_analysis.statistics.family.distances import family_distances
from filtercrawl_analysis.statistics.family.family_rows import FAMILY, judged_rows, places_in_family
from filtercrawl_analysis.statistics.family.outlier_test import MIN_MODELS
from support.drift_populations import Population, draw_histograms, lognormal

Row = dict[str, Any]
USUAL = Population(spread=0.2)


@dataclass(frozen=True, kw_only=True)
class PlantedFamily:
    """A family of models of one population, of which the first ones may be shifted.

    Attributes:
        models: Number of models.
        kernels: Median number of kernels of a model.
        deviation: Of the logarithm of the number of kernels.
        population: What models are drawn from.
        tail: Degrees of freedom of the Student's law of their locations and scales; None for the normal law.
        shifted: Number of shifted models.
        shift: How far these are shifted along the first component, in scales of the component.
    """

    models: int
    kernels: float = 2000.0
    deviation: float = 0.5
    population: Population = USUAL
    tail: float | None = None
    shifted: int = 0
    shift: float = 0.0

    def rows(self, random: np.random.Generator) -> list[Row]:
        """Draw a family and return the rows of its models that have a distance, unjudged; `model_id` is the number."""
        effects = self.population.effects(random, self.models)
        if self.tail is not None:
            effects = random.standard_t(self.tail, effects.shape)
        if self.shifted:
            signs = random.choice([-1, 1], self.shifted)
            effects[0, : self.shifted, 0, 0] += signs * self.shift / self.population.spread
        sizes = lognormal(self.kernels, self.deviation)(random, self.models)
        counts = draw_histograms(random, self.population.laws(random, effects), sizes).astype(np.float64)
        places = places_in_family(family_distances(counts, self.population.weights, MIN_MODELS, random))
        return [dict.fromkeys(FAMILY.names) | {"model_id": str(i)} | place for i, place in places.items()]


def judged_families(families: Sequence[PlantedFamily], random: np.random.Generator) -> list[Row]:
    """Draw families and judge their models as those of one table; `family` is the number of the family."""
    rows = [row | {"family": str(i)} for i, family in enumerate(families) for row in family.rows(random)]
    return judged_rows(rows)


def is_shifted(row: Row, families: Sequence[PlantedFamily]) -> bool:
    """Whether a row is that of a shifted model."""
    return int(row["model_id"]) < families[int(row["family"])].shifted
