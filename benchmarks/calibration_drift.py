"""How often the p-values, intervals and verdicts on drift are right; run by calibration.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from calibration_drift_cases import Case, drift_cases, equal_cases, one_direction_case, separate, unequal_cases
from scipy.stats import binom, ttest_1samp

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from filtercrawl_analysis.statistics.drift.divergence import paired_drift
from filtercrawl_analysis.statistics.drift.floor import expected_drift
from filtercrawl_analysis.statistics.drift.inference import detectable_drift
from filtercrawl_analysis.statistics.drift.model_histograms import group_distributions
from support.drift_populations import Population, true_drift, two_groups

ALPHAS = (0.01, 0.05, 0.2)
# Fewer than by default, as only p-values from 0.01 on matter, and fewer still where only 0.05 does.
DRAWS, FEW_DRAWS = 2000, 400
REPETITIONS = {"full": 200, "short": 40}


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
a group, no p-value can be below 0.1: every interval begins at 0, and that share is to be 5 %.""",
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
