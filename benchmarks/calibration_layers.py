"""How often the verdicts on layers and models are right, on layers whose nature is known."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom

from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.entropy.power import EntropyPower, correlated_kernels, correlated_root
from filtercrawl_analysis.statistics.entropy.structure_test import StructureTests
from filtercrawl_analysis.statistics.initialization.layers import CLOSE, DIFFERS, TOO_SMALL, UNTRAINED
from filtercrawl_analysis.statistics.quality.verdict_rules import VERDICTS
from support.layer_simulation import (
    INDEPENDENT,
    INITIALIZATIONS,
    INNER,
    OUT,
    SAMPLED,
    UNSEEN,
    as_weight,
    noisy_copies,
    p_values,
    partly_dead,
    trained,
    with_outliers,
)
from support.synthetic_datasets import Net, analysed, plant, rows

ALPHAS = (0.01, 0.05, 0.2)
# Kernel size, and numbers of kernels from two a tap on.
SIZES: dict[tuple[int, ...], tuple[int, ...]] = {
    (3,): (6, 64, 65, 500, 100_000),
    (3, 3): (18, 65, 250, 2000, 100_000),
    (5, 5): (50, 65, 1000, 20_000),
    (7, 7): (98, 2000),
}
# Of kernels with so many taps, and layers of so many kernels, only some distributions are drawn: they take longest.
LARGE_TAPS, LARGE_KERNELS = 25, 20_000
OF_LARGE = ("Laplace", "Student, 3 degrees of freedom", "normal, kernels of different scales")
REPETITIONS = {"short": 20, "full": 200}
# Layers of many kernels, or many taps, take longest.
LARGE_REPETITIONS = {"short": 10, "full": 80}
POWER_REPETITIONS = {"short": 20, "full": 50}
OTHER_NETWORKS = ("torch default, 5% noise", "trained", "half trained", "trained, with a small untrained layer")
MODEL_VERDICTS = (UNTRAINED, CLOSE, DIFFERS, TOO_SMALL)
LAYERS = {"short": 3, "full": 10}
NETWORKS = {"short": 1, "full": 4}


def report(length: str) -> str:
    """Return the study as Markdown.

    Args:
        length: `short` or `full`.
    """
    repetitions, of_large = REPETITIONS[length], LARGE_REPETITIONS[length]
    bands, bands_of_large = (
        ", ".join(f"{alpha:g}: {upper_end(alpha, n):.3f}" for alpha in ALPHAS) for n in (repetitions, of_large)
    )
    layers, unseen, models = planted_verdicts(LAYERS[length], NETWORKS[length])
    head = ("weights", "kernel", "kernels", *(f"P(p <= {alpha:g})" for alpha in ALPHAS), "p_even known", "P(<= 0.05)")
    return "\n".join(
        [
            "### Layers of independent weights: how often p_structured <= alpha\n",
            f"{repetitions} layers a row, fixed seeds. Upper ends of the binomial 99 % bands: {bands}; larger values "
            f"are bold. Of large kernels and layers, three distributions and {of_large} layers a row "
            f"({bands_of_large}). Up to {SAMPLED} kernels by permutation, beyond by the kurtosis, or, where that has "
            f"little power, by permutation of {SAMPLED} sampled kernels. The last columns are the share of layers that "
            "have a p_even, and how often it is at most 0.05.\n",
            _table(head, type_one_rows(repetitions, of_large)),
            "### Trained-like layers: how often p_structured <= 0.05\n",
            f"{POWER_REPETITIONS[length]} layers each. Neighboring taps correlate by rho; last column: the power "
            "that the analysis states for 0.5.\n",
            _table(
                ("kernel", "kernels", "rho 0.2", "rho 0.35", "rho 0.5", "stated"), power_rows(POWER_REPETITIONS[length])
            ),
            "### Verdicts on planted layers\n",
            f"Through `sync` and `analyze`, all in one dataset; layers of {OUT * INNER} kernels of 3x3, of which 64 "
            "are sampled.\n",
            _table(("planted", *VERDICTS), layers),
            "### Verdicts on layers of other laws\n",
            "As above, of laws that no rule and no threshold was chosen with; right: the verdicts that fit the law. "
            "Bold where more than one in ten layers has another one.\n",
            _table(("planted", "right", *VERDICTS), unseen),
            "### Verdicts on planted networks\n",
            "Four layers each.\n",
            _table(("planted", *MODEL_VERDICTS, "right law"), models),
        ]
    )


def type_one_rows(repetitions: int, of_large: int) -> Iterator[tuple[object, ...]]:
    """Yield distribution, kernel size, kernels, and how often p-values are at most alpha.

    Args:
        repetitions: Layers a row.
        of_large: Layers a row, of large kernels and layers.
    """
    tests = StructureTests(EntropyNull())
    for kernel_size, counts in SIZES.items():
        taps = int(np.prod(kernel_size))
        for n in counts:
            large = taps >= LARGE_TAPS or n >= LARGE_KERNELS
            n_layers = of_large if large else repetitions
            for name in OF_LARGE if large else INDEPENDENT:
                random = np.random.default_rng([taps, n, *map(ord, name)])
                layers = (INDEPENDENT[name](random, (n, taps)) for _ in range(n_layers))
                found = [p_values(layer, tests, i, kernel_size) for i, layer in enumerate(layers)]
                structured = np.array([p for p, _ in found])
                even = np.array([p for _, p in found if p is not None])
                cells = [_share_at_most(structured, alpha) for alpha in ALPHAS]
                known = len(even) / n_layers
                yield name, _name(kernel_size), n, *cells, known, _share_at_most(even, 0.05) if len(even) else ""


def _share_at_most(p_values: NDArray[np.float64], alpha: float) -> str:
    share = float((p_values <= alpha).mean())
    return f"**{share:.3f}**" if share > upper_end(alpha, len(p_values)) else f"{share:.3f}"


def upper_end(alpha: float, repetitions: int) -> float:
    """Return the upper end of the 99 % band of a share whose expectation is alpha."""
    return float(binom.ppf(0.995, repetitions, alpha)) / repetitions


def power_rows(repetitions: int) -> Iterator[tuple[object, ...]]:
    """Yield kernel size, kernels, power by correlation, and the power that is stated."""
    null = EntropyNull()
    stated, tests = EntropyPower(null), StructureTests(null)
    for kernel_size, counts in {(3,): (8, 16, 32, 64), (3, 3): (6, 9, 14, 32, 64, 256), (5, 5): (6, 12, 32)}.items():
        for n in counts:
            shares = []
            for correlation in (0.2, 0.35, 0.5):
                random = np.random.default_rng([n, *kernel_size, round(100 * correlation)])
                root = correlated_root(kernel_size, correlation)
                layers = correlated_kernels((repetitions, n), root, 0.0, random)
                told = [p_values(layer, tests, i, kernel_size)[0] <= 0.05 for i, layer in enumerate(layers)]
                shares.append(float(np.mean(told)))
            yield _name(kernel_size), n, *shares, stated.power(n, kernel_size, 0.0, permuted=n <= SAMPLED)


PLANTED: dict[str, Callable[[np.random.Generator], Any]] = {
    "trained": trained,
    "trained, with as much noise": lambda random: trained(random, 1.0),
    **{
        name: lambda random, law=law: law(random, (OUT * INNER, 9))
        for name, law in INDEPENDENT.items()
    },
    **{f"copies of 4 kernels, {noise:.0%} noise": lambda random, noise=noise: noisy_copies(random, noise)
       for noise in (0.01, 0.05, 0.1, 0.2, 0.3)},
    "copies of 1 kernel, 10% noise": lambda random: noisy_copies(random, 0.1, 1),
    **{f"noise, {share:.0%} of the energy in one kernel": lambda random, share=share: with_outliers(
        random.standard_normal((OUT * INNER, 9)), 1, share) for share in (0.05, 0.5, 0.95)},
    **{f"trained, {share:.0%} of the energy in two kernels": lambda random, share=share: with_outliers(
        trained(random), 2, share) for share in (0.5, 0.95)},
    **{f"trained, {share:.0%} dead": lambda random, share=share: partly_dead(random, share)
       for share in (0.8, 0.95, 0.99)},
}  # fmt: skip


Rows = list[tuple[object, ...]]


def planted_verdicts(n_layers: int, n_networks: int) -> tuple[Rows, Rows, Rows]:
    """Sync and analyze planted layers and networks; return rows of the tables of layers, other laws and networks."""
    random = np.random.default_rng(1)
    torch.manual_seed(1)
    nets = [
        Net(name=f"kind{i}", state={f"l{j}.weight": as_weight(draw(random)) for j in range(n_layers)})
        for i, draw in enumerate((*PLANTED.values(), *(draw for draw, _ in UNSEEN.values())))
    ]
    kinds = [
        *INITIALIZATIONS,
        "torch default, 5% noise",
        "trained",
        "half trained",
        "trained, with a small untrained layer",
    ]
    nets += [
        Net(name=f"net{i}-{j}", state=_network(kind, random)) for i, kind in enumerate(kinds) for j in range(n_networks)
    ]
    with tempfile.TemporaryDirectory() as folder:
        dataset = plant(Path(folder), nets)
        layers = rows(analysed("degeneracy", dataset), "layer_quality")
        models = rows(analysed("initialization", dataset), "model_initialization")
    verdicts = Counter((str(row["model_id"]), row["verdict"]) for row in layers)
    of_layers = [
        (name, *(verdicts[f"acme/kind{i}", verdict] or "" for verdict in VERDICTS)) for i, name in enumerate(PLANTED)
    ]
    of_unseen: Rows = []
    for i, (name, (_, right)) in enumerate(UNSEEN.items(), start=len(PLANTED)):
        mine = [verdicts[f"acme/kind{i}", verdict] for verdict in VERDICTS]
        n_right = sum(n for n, verdict in zip(mine, VERDICTS, strict=True) if verdict in right)
        bold = "**" if sum(mine) - n_right > n_layers / 10 else ""
        of_unseen.append((f"{bold}{name}{bold}", " or ".join(right), *(n or "" for n in mine)))
    of_models: Rows = []
    for i, kind in enumerate(kinds):
        mine = [row for row in models if str(row["model_id"]).startswith(f"acme/net{i}-")]
        counts = Counter(row["verdict"] for row in mine)
        law = sum(row["law"] == kind for row in mine) if kind in INITIALIZATIONS else ""
        of_models.append((kind, *(counts[v] or "" for v in MODEL_VERDICTS), law))
    return of_layers, of_unseen, of_models


def _network(kind: str, random: np.random.Generator) -> dict[str, torch.Tensor]:
    state = {}
    for i in range(4):
        if kind in INITIALIZATIONS:
            weight = INITIALIZATIONS[kind](torch.empty(OUT, INNER, 3, 3))
        elif kind == "torch default, 5% noise":
            weight = INITIALIZATIONS["torch default"](torch.empty(OUT, INNER, 3, 3))
            weight += 0.05 * weight.std() * torch.randn(weight.shape)
        elif kind == "half trained" and i < 2:
            weight = INITIALIZATIONS["torch default"](torch.empty(OUT, INNER, 3, 3))
        else:
            weight = as_weight(trained(random))
        state[f"l{i}.weight"] = weight
    if kind == "trained, with a small untrained layer":
        state["small.weight"] = INITIALIZATIONS["torch default"](torch.empty(4, 4, 3, 3))
    return state


def _name(kernel_size: tuple[int, ...]) -> str:
    return "x".join(map(str, kernel_size)) if len(kernel_size) > 1 else f"{kernel_size[0]} (1-D)"


def _table(head: tuple[str, ...], lines: Iterable[tuple[object, ...]]) -> str:
    cells = [head, ("---",) * len(head), *lines]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in cells) + "\n"


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
