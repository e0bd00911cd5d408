"""How often the p-values and verdicts on models in their family are right; run by calibration.py."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binom

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from support.drift_populations import Population
from support.family_simulation import PlantedFamily, Row, is_shifted, judged_families

REPETITIONS = {"full": 400, "short": 40}
ALPHAS = (0.01, 0.05, 0.2)


def percent(share: float) -> str:
    """Format a share."""
    return f"{100 * share:.1f}"


def equal_families() -> Iterator[tuple[str, PlantedFamily]]:
    """Yield families whose models come from one population."""
    for models in (5, 10, 20, 40, 100):
        yield f"{models} models", PlantedFamily(models=models)
    yield "20 models, no spread", PlantedFamily(models=20, population=Population(spread=0.0))
    yield "40 models, spread 0.05", PlantedFamily(models=40, population=Population(spread=0.05))
    yield "40 models, spread 0.5", PlantedFamily(models=40, population=Population(spread=0.5))
    yield "40 models of 150 kernels", PlantedFamily(models=40, kernels=150.0)
    yield "40 models of 20,000 kernels", PlantedFamily(models=40, kernels=20_000.0)
    yield "40 models, sizes heavy-tailed", PlantedFamily(models=40, deviation=1.8)
    yield "40 models, 3 components", PlantedFamily(models=40, population=Population(spread=0.2, components=3))
    yield "40 models, 25 components", PlantedFamily(models=40, population=Population(spread=0.2, components=25))
    mixed = Population(mixture=1.0)
    yield "40 models, mixtures of two laws", PlantedFamily(models=40, population=mixed)
    one = Population(mixture=1.0, common=True)
    yield "40 models that vary in one direction", PlantedFamily(models=40, population=one)
    for models in (20, 40, 100):
        for tail in (5.0, 3.0):
            name = f"{models} models, Student's law of {tail:.0f} degrees of freedom"
            yield name, PlantedFamily(models=models, tail=tail)


def shifted_families() -> Iterator[tuple[str, PlantedFamily]]:
    """Yield families of which some models are shifted."""
    for models in (20, 40, 100):
        for shift in (0.4, 0.8, 1.2):
            yield f"{models} models, shift {shift}", PlantedFamily(models=models, shifted=1, shift=shift)
    narrow = Population(spread=0.05)
    for shift in (0.1, 0.2, 0.4):
        family = PlantedFamily(models=40, kernels=20_000.0, population=narrow, shifted=1, shift=shift)
        yield f"40 models of 20,000 kernels, spread 0.05, shift {shift}", family
    yield "40 models, 2 with shift 0.8", PlantedFamily(models=40, shifted=2, shift=0.8)
    yield "40 models, 2 with shift 1.2", PlantedFamily(models=40, shifted=2, shift=1.2)
    yield "40 models, 4 with shift 1.2", PlantedFamily(models=40, shifted=4, shift=1.2)


def _draw(name: str, families: Sequence[PlantedFamily], repetitions: int) -> Iterator[list[Row]]:
    for repetition in range(repetitions):
        yield judged_families(families, np.random.default_rng([zlib.crc32(name.encode()), repetition]))


def equal_table(repetitions: int) -> Iterator[str]:
    """Yield a table of how often p-values of a chosen model are at most alpha, and families with a verdict."""
    names = [f"{name} <= {alpha}" for name in ("p_rank", "p") for alpha in ALPHAS[name == "p_rank" :]]
    yield f"| family | {' | '.join(names)} | any `differs` |\n|---|{'---:|' * (len(names) + 1)}"
    for name, family in equal_families():
        chosen, told = [], 0
        for rows in _draw(name, [family], repetitions):
            chosen += [(row["p_rank"], row["p"]) for row in rows if row["model_id"] == "0"]
            told += any(row["verdict"] == "differs" for row in rows)
        ranks, tails = np.array(chosen, np.float64).T
        cells = [_rate(ranks, alpha) for alpha in ALPHAS[1:]]
        cells += ["" if np.isnan(tails).all() else _rate(tails, alpha) for alpha in ALPHAS]
        cells.append(_marked(told, repetitions, 0.05))
        yield f"| {name} | {' | '.join(cells)} |"


def _rate(p_values: np.ndarray, alpha: float) -> str:
    return _marked(int((p_values <= alpha + 1e-12).sum()), len(p_values), alpha)


def _marked(hits: int, n: int, alpha: float) -> str:
    bold = "**" if hits > binom.ppf(0.995, n, alpha) else ""
    return f"{bold}{percent(hits / n)}{bold}"


def power_table(repetitions: int) -> Iterator[str]:
    """Yield a table of how often shifted models are the farthest and are found."""
    head = ("family", "distance over the median", "p_rank <= 0.05", "`differs`", "others with `differs`")
    yield f"| {' | '.join(head)} |\n|---|" + "---:|" * (len(head) - 1)
    for name, family in shifted_families():
        rows = [row for found in _draw(name, [family], repetitions) for row in found]
        shifted = [row for row in rows if is_shifted(row, [family])]
        others = [row for row in rows if not is_shifted(row, [family])]
        ratio = np.median([row["distance"] / row["others_median"] for row in shifted])
        far = np.mean([row["p_rank"] <= 0.05 for row in shifted])
        found = np.mean([row["verdict"] == "differs" for row in shifted])
        wrong = np.mean([row["verdict"] == "differs" for row in others])
        yield f"| {name} | {ratio:.1f} | {percent(far)} | {percent(found)} | {percent(wrong)} |"


def table_rows(repetitions: int) -> Iterator[str]:
    """Yield a table of the share of wrong verdicts among those of tables of several families."""
    yield "| families of the table | found | wrong among `differs` |\n|---|---:|---:|"
    for n, shifted, shift in ((5, 1, 1.2), (10, 2, 1.2), (10, 2, 2.0), (20, 2, 2.0)):
        families = [PlantedFamily(models=30, shifted=int(i < shifted), shift=shift) for i in range(n)]
        name = f"{n} of 30 models, {shifted} with a model of shift {shift}"
        found, wrong = [], []
        for rows in _draw(name, families, max(repetitions // 4, 20)):
            told = [row for row in rows if row["verdict"] == "differs"]
            right = sum(is_shifted(row, families) for row in told)
            found.append(right / shifted)
            wrong.append((len(told) - right) / max(len(told), 1))
        yield f"| {name} | {percent(np.mean(found).item())} | {percent(np.mean(wrong).item())} |"


def report(length: str) -> str:
    """Run the study and return its report as Markdown.

    Args:
        length: `short` or `full`.
    """
    n = REPETITIONS[length]
    allowed = ", ".join(f"{percent(binom.ppf(0.995, n, alpha) / n)} at {alpha}" for alpha in ALPHAS)
    sections = [
        f"""### Models of one population

Percent of {n:,} families. p-values are those of a model that was chosen beforehand; `any differs` is how often at least
one model of the family was told apart, to be at most 5 %. The upper ends of the 99 % band are {allowed}; larger
values are bold. Of fewer than 20 models, only ranks are known. Unless stated, models have 2,000 kernels and a spread
of 0.2.""",
        "\n".join(equal_table(n)),
        f"""### Shifted models

Percent of {n:,} families. Models are shifted along the first component, in scales of the component.""",
        "\n".join(power_table(n)),
        f"""### Tables of several families

Means of {max(n // 4, 20):,} tables: shifted models that are found, and wrong ones among those that
`differs` is said of, to be at most 5 %.""",
        "\n".join(table_rows(n)),
    ]
    return "\n\n".join(sections)
