"""How often the intervals and verdicts of the analysis `accuracy` are right on planted models; writes accuracy.md.

python benchmarks/accuracy.py [REPETITIONS]    1,000 by default, which takes five minutes

Models are pairs of normal numbers, a measure and an accuracy. In a family both are shifted by numbers of the family,
which may be correlated too: then families with more of the measure are better, whatever holds within them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.statistics.accuracy.rank_correlation import (
    RankCorrelation,
    clustered_correlation,
    rank_correlation,
)
from filtercrawl_analysis.statistics.groups.resampling import LEVEL

Array = NDArray[np.float64]
Correlation = Callable[[Array, Array, NDArray[np.int64], int, np.random.Generator], RankCorrelation | None]

REPORT: Final = Path(__file__).with_suffix(".md")
DRAWS: Final = 399
CORRELATIONS: Final = (0.0, 0.3, 0.6, 0.9)
# Sizes of the families of a case.
CASES: Final = {
    "8 models": (8,),
    "30 models": (30,),
    "100 models": (100,),
    "10 families of 3": (3,) * 10,
    "20 families of 5": (5,) * 20,
    "3 families of 10": (10,) * 3,
    "families of 3, 4, 5, 8 and 20": (3, 4, 5, 8, 20),
}


@dataclass(frozen=True, kw_only=True)
class Population:
    """Families of models.

    Attributes:
        sizes: Models of each family.
        within: Correlation of the two numbers within a family.
        between: Correlation of the two shifts of a family.
        spread: Standard deviation of the shifts.
    """

    sizes: Sequence[int]
    within: float
    between: float = 0.0
    spread: float = 0.0

    @property
    def strata(self) -> NDArray[np.int64]:
        """The family of each model."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def draw(self, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the measure and the accuracy of each model."""
        x, y = correlated(self.within, len(self.strata), random)
        shift_x, shift_y = correlated(self.between, len(self.sizes), random)
        return x + self.spread * shift_x[self.strata], y + self.spread * shift_y[self.strata]

    def expected_over_all(self) -> float:
        """Return the rank correlation of a large sample of many families."""
        rho = (self.within + self.spread**2 * self.between) / (1 + self.spread**2)
        return 6 / math.pi * math.asin(rho / 2)

    def expected(self) -> float:
        """Return the mean rank correlation of so small samples, exactly."""
        each = [
            6 / (math.pi * (n + 1)) * (math.asin(self.within) + (n - 2) * math.asin(self.within / 2))
            for n in self.sizes
        ]
        return float(np.average(each, weights=np.array(self.sizes) - 1))


def correlated(rho: float, n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return pairs of normal numbers, [2, n]."""
    x, noise = random.standard_normal((2, n))
    return np.stack([x, rho * x + math.sqrt(1 - rho**2) * noise])


def judged(population: Population, correlation: Correlation, repetitions: int) -> Iterator[RankCorrelation]:
    """Yield what is found in samples of a population."""
    for seed in range(repetitions):
        random = np.random.default_rng([seed, len(population.strata)])
        x, y = population.draw(random)
        found = correlation(x, y, population.strata, DRAWS, random)
        assert found is not None
        yield found


def coverage(repetitions: int) -> Iterator[str]:
    """Yield rows: share of intervals that hold the expected correlation, and of tests that reject none."""
    yield "| models | " + " | ".join(f"correlation {rho}" for rho in CORRELATIONS) + " | rejected at 0 |"
    yield "|---|" + "---:|" * (len(CORRELATIONS) + 1)
    for name, sizes in CASES.items():
        cells, rejected = [], math.nan
        for rho in CORRELATIONS:
            population = Population(sizes=sizes, within=rho)
            found = list(judged(population, rank_correlation, repetitions))
            target = population.expected()
            cells.append(f"{np.mean([item.low <= target <= item.high for item in found]):.1%}")
            if not rho:
                rejected = float(np.mean([item.p_value <= LEVEL for item in found]))
        yield f"| {name} | {' | '.join(cells)} | {rejected:.1%} |"


def confounding(repetitions: int) -> Iterator[str]:
    """Yield rows: how often a correlation is found over all models and within families."""
    yield "| families | within | between | found over all | interval holds | found within | of the right sign |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for families, members in ((6, 6), (12, 5), (12, 10)):
        for within, between in ((0.0, 0.0), (0.0, 0.9), (0.0, -0.9), (0.5, 0.0), (0.5, -0.9), (0.8, -0.9)):
            population = Population(sizes=(members,) * families, within=within, between=between, spread=2.0)
            together = list(judged(population, clustered_correlation, repetitions))
            target = population.expected_over_all()
            holds = np.mean([item.low <= target <= item.high for item in together])
            over_all = np.mean([item.p_value <= LEVEL for item in together])
            apart = list(judged(population, rank_correlation, repetitions))
            found = [item for item in apart if item.p_value <= LEVEL]
            signs = f"{np.mean([item.rho > 0 for item in found]):.1%}" if within and found else "-"
            shares = f"{over_all:.1%} | {holds:.1%} | {len(found) / len(apart):.1%} | {signs}"
            yield f"| {families} of {members} | {within} | {between} | {shares} |"


def report(repetitions: int) -> str:
    """Return the page."""
    lines = [
        "# Rank correlation with accuracy, measured",
        "",
        f"Written by `python benchmarks/accuracy.py`; {repetitions:,} repetitions, {DRAWS} permutations of a test.",
        "",
        "## Intervals and tests within families",
        "",
        "Share of the 95 % intervals that hold the expected mean rank correlation, for normal numbers of this "
        "correlation in each family; and share of tests at a level of 5 % that find one where there is none.",
        "",
        *coverage(repetitions),
        "",
        "## Families that differ in both",
        "",
        "Families are shifted by numbers twice as spread as those within, which are correlated as `between` says. The "
        "test over all models takes a family as a cluster, and is to find either; the one within families is to find "
        "`within` alone. The interval is the one over all models.",
        "",
        *confounding(repetitions),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    REPORT.write_text(report(int(sys.argv[1]) if len(sys.argv) > 1 else 1000), "utf-8")
