"""How often the p-values, intervals and verdicts on drift are right; run by calibration.py."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import binom, ttest_1samp

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from filtercrawl_analysis.statistics.drift.divergence import paired_drift
from filtercrawl_analysis.statistics.drift.floor import expected_drift
from filtercrawl_analysis.statistics.drift.inference import DriftInference, detectable_drift, infer_drift
from filtercrawl_analysis.statistics.drift.model_histograms import (
    ModelGroupHistograms,
    Stratum,
    group_distributions,
    single_stratum,
)
from support.drift_populations import (
    Population,
    crossed_groups,
    kernel_groups,
    lognormal,
    true_drift,
    two_groups,
)

ALPHAS = (0.01, 0.05, 0.2)
# Fewer than by default, as only p-values from 0.01 on matter, and fewer still where only 0.05 does.
DRAWS, FEW_DRAWS = 2000, 400
REPETITIONS = {"full": 200, "short": 40}

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


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.1f}"


def rejection_table(cases: Iterator[Case], repetitions: int) -> Iterator[str]:
    """Yield a table of how often p-values are at most alpha; bold where that exceeds the 99 % band of alpha."""
    yield "| groups | " + " | ".join(f"p <= {alpha}" for alpha in ALPHAS) + " |\n|---|" + "---:|" * len(ALPHAS)
    for case in cases:
        p = np.array([case.infer(i, DRAWS).p_value for i in range(repetitions)], np.float64)
        cells = []
        for alpha in ALPHAS:
            n = int((p <= alpha).sum())
            bold = "**" if n > binom.ppf(0.995, repetitions, alpha) else ""
            cells.append(f"{bold}{percent(n / repetitions)}{bold}")
        yield f"| {case.name} | {' | '.join(cells)} |"


def one_direction_table(first: int, repetitions: int) -> Iterator[str]:
    """Yield a table of how often p-values are at most alpha, and how often those of t tests of uniform numbers are.

    Args:
        first: Number of the first repetition.
        repetitions: Number of repetitions.
    """
    head = ("groups", *(f"p <= {alpha}" for alpha in ALPHAS), *(f"t test: p <= {alpha}" for alpha in ALPHAS))
    yield f"| {' | '.join(head)} |\n|---|" + "---:|" * (len(head) - 1)
    for models in ((5, 5), (8, 8), (6, 15), (8, 30), (5, 40)):
        case = one_direction_case(models)
        p = np.array([case.infer(i, DRAWS).p_value for i in range(first, first + repetitions)], np.float64)
        numbers = np.random.default_rng(models[0]).uniform(-1, 1, (200_000, models[0]))
        of_t_test = ttest_1samp(numbers, 0, axis=1).pvalue
        cells = [percent((found <= alpha).mean()) for found in (p, of_t_test) for alpha in ALPHAS]
        yield f"| {models[0]} : {models[1]} models | {' | '.join(cells)} |"


def coverage_table(repetitions: int) -> Iterator[str]:
    """Yield a table of how often intervals cover the true drift."""
    head = ("groups", "true drift", "mean estimate", "p <= 0.05", "covered", "above the interval", "median width")
    yield f"| {' | '.join(head)} |\n|---|" + "---:|" * (len(head) - 1)
    truth = cache(true_drift)
    for case, first, second in drift_cases():
        drift = truth(first, second)
        found = [case.infer(i, FEW_DRAWS) for i in range(repetitions)]
        known = [(f.low, f.high, f.estimate, f.p_value) for f in found if f.low is not None]
        low, high, estimate, p = np.array(known, np.float64).T
        covered = ((low <= drift) & (drift <= high)).mean()
        bold = "" if _in_band(round(covered * len(low)), len(low)) else "**"
        yield (
            f"| {case.name} | {drift:.4f} | {estimate.mean():.4f} | {percent((p <= 0.05).mean())} | "
            f"{bold}{percent(covered)}{bold} | {percent((high < drift).mean())} | {np.median(high - low):.4f} |"
        )


def _in_band(n_covered: int, n: int) -> bool:
    """Return whether intervals cover as often as 95 % would, in the 99 % band."""
    return bool(binom.ppf(0.005, n, 0.95) <= n_covered <= binom.ppf(0.995, n, 0.95))


def power_table(repetitions: int) -> Iterator[str]:
    """Yield a table of how often the drift that is said to be detectable is found."""
    yield "| groups | detectable | found |\n|---|---:|---:|"
    for models, kernels, spread in (
        ((4, 4), 2000.0, 0.1),
        ((5, 5), 1000.0, 0.2),
        ((6, 9), 2000.0, 0.1),
        ((8, 8), 300.0, 0.0),
        ((8, 8), 2000.0, 0.2),
        ((3, 20), 1000.0, 0.1),
        ((5, 20), 1000.0, 0.2),
        ((20, 20), 200.0, 0.1),
        ((50, 50), 3000.0, 0.3),
    ):
        first = Population(spread=spread)
        equal = separate(f"spread {spread}", models, (kernels, kernels), first)
        at = []
        for i in range(max(repetitions // 10, 20)):
            inference = equal.infer(i, 1)
            if inference.moments is not None:
                smallest = inference.design.smallest_p_value
                at.append(detectable_drift(inference.moments, inference.bound, 0.05, smallest))
        shift = shift_of(float(np.median(at)), first)
        shifted = separate(
            f"spread {spread}, shift {shift:.3f}", models, (kernels, kernels), first, replace(first, shift=shift)
        )
        p = np.array([shifted.infer(i, FEW_DRAWS).p_value for i in range(repetitions)], np.float64)
        yield f"| {equal.name} | {np.median(at):.4f} | {percent((p <= 0.05).mean())} |"


def shift_of(drift: float, population: Population) -> float:
    """Return the shift that makes this drift, by bisection."""
    low, high = 0.0, 4.0
    for _ in range(20):
        middle = (low + high) / 2
        if true_drift(population, replace(population, shift=middle), models=2000) < drift:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def floor_table(repetitions: int) -> Iterator[str]:
    """Yield a table of the stated floor and the mean D of equal distributions."""
    yield "| kernels | mean D | floor |\n|---|---:|---:|"
    population = Population(spread=0.0)
    distribution = population.mean_distribution(np.random.default_rng(0), 500)
    for kernels in ((100, 100), (100, 10_000), (1000, 1000), (1000, 100_000), (100_000, 100_000)):
        measured = []
        for i in range(repetitions):
            sizes = tuple((lambda _, n, k=k: np.full(n, k)) for k in kernels)
            cells = two_groups(np.random.default_rng([i, *kernels]), (population, population), (1, 1), sizes)
            p = group_distributions(cells)
            measured.append(float(paired_drift(p[0], p[1], cells.weights)))
        floor = expected_drift(distribution, (float(kernels[0]), float(kernels[1])), population.weights, 6 / 70)
        yield f"| {kernels[0]:,} : {kernels[1]:,} | {np.mean(measured):.4f} | {floor:.4f} |"


def report(length: str) -> str:
    """Run the study and return its report as Markdown.

    Args:
        length: `short` or `full`.
    """
    n = REPETITIONS[length]
    allowed = ", ".join(f"{percent(binom.ppf(0.995, n, alpha) / n)} at {alpha}" for alpha in ALPHAS)
    sections = [
        f"""### Equal distributions: how often p <= alpha

Percent of {n:,} repetitions; models of both groups come from one population. The upper ends of the 99 % band are
{allowed}. Larger values are bold; by chance, about one in 200 is. With few models
there are few assignments, p-values are coarse, and shares are low.""",
        "\n".join(rejection_table(equal_cases(), n)),
        """### Equal means, unequal spread

Models of one group vary more than those of the other, or have fewer layers, while the mean distributions are equal: the
models are not exchangeable, and the test is approximate. Models of several layers have three components. Bold as
above.""",
        "\n".join(rejection_table(unequal_cases(), n)),
        f"""### Few models that vary in one direction

The cases "in one direction" again, in {20 * n:,} other repetitions. Models mix two laws by uniform weights. Beside it,
how often Student's t test rejects the true mean of as many uniform numbers as the first group has models: tests of few
numbers that rest on their variance do so too often where their distribution has no tails.""",
        "\n".join(one_direction_table(n, 20 * n)),
        f"""### True drifts: power and intervals

The true drift is that of the bin probabilities of both populations; percent of {n:,} repetitions. Intervals are to
cover it 95 % of the time; shares outside the 99 % band of 95 % are bold. An interval that begins at 0, as p > 0.05,
cannot lie above the drift: where few drifts are found, up to 97.5 % are covered if the upper end is right, which
"above the interval" tells: how often the true drift is larger than the upper end, to be about 2.5 %. With three models
a group, no p-value can be below 0.1, and every interval begins at 0.""",
        "\n".join(coverage_table(n)),
        f"""### Detectable drifts

How often a drift of the size that `detectable` states is found, to be 80 % of the time; one pair alone, without
adjustment for others; {n:,} repetitions.""",
        "\n".join(power_table(n)),
        f"""### Floor of D

Mean D of two samples of one distribution in {n:,} repetitions, and the floor stated.""",
        "\n".join(floor_table(n)),
    ]
    return "\n\n".join(sections)
