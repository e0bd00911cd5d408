"""Groups of models whose distributions are equal or differ by a known drift, of which calibration_drift.py judges."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from filtercrawl_analysis.statistics.drift.inference import DriftInference, infer_drift
from filtercrawl_analysis.statistics.drift.model_histograms import ModelGroupHistograms, Stratum, single_stratum
from support.drift_populations import Population, crossed_groups, kernel_groups, lognormal, two_groups

Draw = Callable[[np.random.Generator], ModelGroupHistograms]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A way to draw two groups.

    Attributes:
        name: What they are.
        draw: Draws them.
        n_strata: Strata of equal size in the order of models; 1 for none.
    """

    name: str
    draw: Draw
    n_strata: int = 1

    def infer(self, repetition: int, draws: int) -> DriftInference:
        """Draw groups and judge them, with random numbers of this case and repetition alone."""
        random = np.random.default_rng([zlib.crc32(self.name.encode()), repetition])
        cells = self.draw(random)
        strata = single_stratum(cells, 0, 1)
        if self.n_strata > 1:
            first, second = (np.array_split(cells.cells_of(group), self.n_strata) for group in (0, 1))
            strata = tuple(Stratum(first=a, second=b) for a, b in zip(first, second, strict=True))
        return infer_drift(cells, strata, draws, random)


def separate(
    name: str,
    models: tuple[int, int],
    kernels: tuple[float, float],
    first: Population,
    second: Population | None = None,
    deviation: float = 0.5,
) -> Case:
    """Return a case of two groups of different models."""
    populations, sizes = (first, second or first), (lognormal(kernels[0], deviation), lognormal(kernels[1], deviation))
    text = f"{models[0]} : {models[1]} models of {kernels[0]:,.0f} : {kernels[1]:,.0f} kernels, {name}"
    return Case(name=text, draw=lambda random: two_groups(random, populations, models, sizes))


def crossed(
    name: str,
    models: int,
    kernels: tuple[float, float],
    first: Population,
    second: Population | None = None,
    alone: tuple[int, int] = (0, 0),
) -> Case:
    """Return a case of models that are in both groups."""
    populations, sizes = (first, second or first), (lognormal(kernels[0]), lognormal(kernels[1]))
    text = f"{models} models in both groups with {kernels[0]:,.0f} : {kernels[1]:,.0f} kernels, {name}"
    return Case(name=text, draw=lambda random: crossed_groups(random, populations, models, sizes, alone))


def equal_cases() -> Iterator[Case]:
    """Yield groups whose models are drawn from one population."""
    for models in ((4, 4), (8, 8), (3, 20), (20, 3), (50, 50)):
        for kernels in ((50.0, 20_000.0), (1000.0, 1000.0)):
            for spread in (0.0, 0.4):
                yield separate(f"spread {spread}", models, kernels, Population(spread=spread))
    yield separate("spread 0.1", (20, 20), (500, 20_000), Population(spread=0.1))
    yield separate("spread 0.1", (8, 8), (100, 10_000), Population(spread=0.1))
    yield separate("spread 0.1, sizes heavy-tailed", (10, 10), (500, 500), Population(spread=0.1), deviation=1.8)
    yield separate("3 components", (8, 8), (100, 5000), Population(components=3))
    yield separate("25 components", (6, 12), (100, 5000), Population(components=25))
    yield separate("49 components", (6, 6), (1000, 200), Population(components=49))
    layered = Population(layers=10, layer_spread=0.3)
    yield separate("10 layers each", (8, 8), (500, 5000), layered)
    yield Case(
        name="3 strata of 4 : 4 models of 200 : 5,000 kernels",
        draw=lambda random: two_groups(
            random, (Population(), Population()), (12, 12), (lognormal(200), lognormal(5000))
        ),
        n_strata=3,
    )
    for models in (6, 20):
        for kernels in ((50.0, 5000.0), (2000.0, 2000.0)):
            yield crossed("spread 0.4", models, kernels, Population(spread=0.4))
    yield crossed("and 6 : 8 in one, spread 0.3", 8, (100, 2000), Population(spread=0.3), alone=(6, 8))
    for kernel_size, exact in (((3, 3), False), ((3, 3), True), ((5, 5), False), ((3,), False), ((7, 7), False)):
        taps, space = "x".join(map(str, kernel_size)), "principal components" if exact else "sketch space"
        yield Case(
            name=f"8 : 8 models of 100 : 1,000 kernels, drawn as {taps} kernels, {space}",
            draw=lambda random, size=kernel_size, exact=exact: kernel_groups(
                random, size, (8, 8), (lognormal(100), lognormal(1000)), exact=exact
            ),
        )


def unequal_cases() -> Iterator[Case]:
    """Yield groups with equal mean distributions whose models vary differently: not exchangeable."""
    # Many layers take long to draw, in proportion to components.
    few, many = (Population(layers=n, layer_spread=0.3, components=3) for n in (1, 40))
    for models in ((5, 5), (8, 8), (20, 20), (8, 30), (6, 15), (5, 40), (4, 12), (3, 20), (20, 3)):
        yield separate("1 layer : 40 layers each", models, (1000, 20_000), few, many)
        for ratio in (0.5, 0.1):
            spreads = Population(mixture=1.0), Population(mixture=ratio)
            yield separate(f"spread of mixtures 1 : {ratio}", models, (1000, 1000), *spreads)
        yield one_direction_case(models)
    for models in (8, 20):
        yield crossed("1 layer : 40 layers each", models, (1000, 20_000), few, many)


def one_direction_case(models: tuple[int, int]) -> Case:
    """Return groups whose models vary in a single direction, those of the first ten times more."""
    one = Population(mixture=1.0, common=True), Population(mixture=0.1, common=True)
    return separate("spread of mixtures 1 : 0.1 in one direction", models, (1000, 1000), *one)


def drift_cases() -> Iterator[tuple[Case, Population, Population]]:
    """Yield groups with a true drift, and their populations."""
    for spread in (0.05, 0.2):
        for shift in (0.1, 0.3, 1.0):
            first, second = Population(spread=spread), Population(spread=spread, shift=shift)
            name = f"spread {spread}, shift {shift}"
            for models, kernels in (
                ((3, 3), (2000.0, 2000.0)),
                ((4, 6), (300.0, 3000.0)),
                ((8, 8), (100.0, 100.0)),
                ((3, 30), (2000.0, 2000.0)),
                ((20, 20), (100.0, 10_000.0)),
                ((50, 50), (3000.0, 3000.0)),
            ):
                yield separate(name, models, kernels, first, second), first, second
            yield crossed(name, 12, (200.0, 5000.0), first, second), first, second
    first, second = Population(spread=0.1), Population(spread=0.1, shift=3.0)  # hardly any overlap
    for models, kernels in (((4, 4), (100.0, 20_000.0)), ((8, 8), (100.0, 100.0)), ((20, 20), (2000.0, 2000.0))):
        yield separate("spread 0.1, shift 3.0", models, kernels, first, second), first, second
