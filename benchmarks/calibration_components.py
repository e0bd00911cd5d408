"""How often intervals and tests over models of explained variance and kernel shape are right, on planted data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import numpy as np
from scipy.stats import binom

from support.component_simulation import (
    SPECTRA,
    Planted,
    PlantedLayers,
    median_coverage,
    median_p_values,
    share_coverage,
    share_p_values,
)

ALPHAS = (0.01, 0.05, 0.2)
# Models of two sets of layers, and that they are the same.
_CROSSED = ((6, 6, True), (20, 20, True), (50, 50, True))
REPETITIONS = {"short": 100, "full": 300}


def report(length: str) -> str:
    """Return the study as Markdown.

    Args:
        length: `short` or `full`.
    """
    repetitions = REPETITIONS[length]
    bands = ", ".join(f"{alpha:g}: {_upper(alpha, repetitions):.3f}" for alpha in ALPHAS)
    parts = [
        f"{repetitions:,} repetitions a row, fixed seeds. Upper ends of the binomial 99 % bands of "
        f"P(p <= alpha): {bands}.\n",
        "### Explained variance: intervals\n",
        "Intervals of explained variance (jackknife over models, logits, Student quantiles with Kish's effective "
        "number of models less one). Coverage over the components: least, mean, most. Spread: of the logarithm of a "
        "model's variances; sizes: of the logarithm of its kernels, whose median is 1,000.\n",
        _table(("spectrum", "models", "spread", "sizes", "least", "mean", "most"), _coverage_rows(repetitions)),
        "### Explained variance: equal components\n",
        "Equal components that are called distinct: two equal pairs among nine.\n",
        _table(("models", "spread", "sizes", "first pair", "second pair"), _distinct_rows(repetitions)),
        "### Explained variance: tests between groups\n",
        "Tests of equal shares in two sets of layers; crossed: the same models have layers in both.\n",
        _table(("models", "crossed", "spread", "sizes", *map(_p, ALPHAS), "power at 1.5 times the odds"),
               _share_test_rows(repetitions)),
        "### Medians over models: intervals, and tests of a value\n",
        "Medians over models: coverage of the interval, and the sign test of the true median. A model's value is the "
        "median of its layers; between: standard deviation of models over that of layers within one.\n",
        _table(("models", "between", "skewed", "coverage", *map(_p, ALPHAS)), _median_rows(repetitions)),
        "### Medians over models: tests between groups\n",
        "Tests of equal medians: Wilcoxon's signed-rank test of crossed models, else the larger p of Mann and "
        "Whitney's and Welch's. Layers: mean number of layers of a model in the first and second set.\n",
        _table(("models", "layers", "crossed", "between", *map(_p, ALPHAS), "power at a shift of one"),
               _median_test_rows(repetitions)),
    ]  # fmt: skip
    return "\n".join(parts)


def _p(alpha: float) -> str:
    return f"P(p <= {alpha:g})"


def _upper(alpha: float, repetitions: int) -> float:
    return float(binom.ppf(0.995, repetitions, alpha)) / repetitions


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines) + "\n"


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _random(*key: object) -> np.random.Generator:
    return np.random.default_rng([ord(letter) for letter in repr(key)])


def _coverage_rows(repetitions: int) -> Iterable[tuple[object, ...]]:
    for name, models, spread, sizes in product(("3x3", "3", "5x5"), (3, 5, 10, 20, 50), ("0.1", "0.5"), ("0", "1")):
        planted = Planted(models=models, spread=float(spread), sizes=float(sizes))
        covered, _ = share_coverage(
            _random("coverage", name, models, spread, sizes), SPECTRA[name], planted, repetitions
        )
        yield name, models, spread, sizes, float(covered.min()), float(covered.mean()), float(covered.max())


def _distinct_rows(repetitions: int) -> Iterable[tuple[object, ...]]:
    for models, spread, sizes in product((3, 5, 10, 20, 50), ("0.1", "0.5"), ("0", "1")):
        planted = Planted(models=models, spread=float(spread), sizes=float(sizes))
        random = _random("distinct", models, spread, sizes)
        _, apart = share_coverage(random, SPECTRA["3x3, equal pairs"], planted, repetitions)
        yield models, spread, sizes, float(apart[1]), float(apart[3])


def _share_test_rows(repetitions: int) -> Iterable[tuple[object, ...]]:
    apart = ((3, 3, False), (3, 40, False), (5, 45, False), (20, 30, False))
    for (a, b, crossed), spread, sizes in product((*apart, *_CROSSED), ("0.1", "0.5"), ("0", "1")):
        first, second = (Planted(models=m, spread=float(spread), sizes=float(sizes)) for m in (a, b))
        random = _random("shares", a, b, crossed, spread, sizes)
        p = share_p_values(random, (first, second), repetitions, crossed=crossed)
        power = share_p_values(random, (first, second), repetitions // 4, crossed=crossed, shift=float(np.log(1.5)))
        yield (f"{a} and {b}", "yes" if crossed else "no", spread, sizes, *_rates(p), float((power <= 0.05).mean()))


def _median_rows(repetitions: int) -> Iterable[tuple[object, ...]]:
    for models, between, skewed in product((5, 6, 8, 10, 20, 50), ("0", "1", "3"), (False, True)):
        planted = PlantedLayers(models=models, between=float(between), skewed=skewed)
        covered, p = median_coverage(_random("median", models, between, skewed), planted, repetitions)
        yield (models, between, "yes" if skewed else "no", covered, *_rates(p))


def _median_test_rows(repetitions: int) -> Iterable[tuple[object, ...]]:
    apart = ((4, 4, False), (5, 45, False), (20, 30, False))
    for (a, b, crossed), (m, n), between in product((*apart, *_CROSSED), ((10, 10), (3, 30), (30, 3)), ("0", "1", "3")):
        first = PlantedLayers(models=a, layers=m, between=float(between))
        second = PlantedLayers(models=b, layers=n, between=float(between))
        random = _random("medians", a, b, crossed, m, n, between)
        p = median_p_values(random, (first, second), repetitions, crossed=crossed)
        power = median_p_values(random, (replace(first, shift=1.0), second), repetitions // 4, crossed=crossed)
        names = (f"{a} and {b}", f"{m} and {n}", "yes" if crossed else "no", between)
        yield (*names, *_rates(p), float((power <= 0.05).mean()))


def _rates(p_values: np.ndarray) -> tuple[float, ...]:
    return tuple(float((p_values <= alpha).mean()) for alpha in ALPHAS)
