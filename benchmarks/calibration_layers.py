"""How often the verdicts on layers and models are right, on layers whose nature is known."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import binom

from filtercrawl_analysis.statistics.entropy_null import EntropyNull
from filtercrawl_analysis.statistics.entropy_power import EntropyPower, correlated_kernels, correlated_root
from filtercrawl_analysis.statistics.verdict_rules import VERDICTS
from support.layer_simulation import (
    INDEPENDENT,
    INITIALIZATIONS,
    INNER,
    OUT,
    SAMPLED,
    as_weight,
    noisy_copies,
    p_structured,
    partly_dead,
    trained,
    with_outliers,
)
from support.synthetic_datasets import Net, analysed, plant, rows

ALPHAS = (0.01, 0.05, 0.2)
# Kernel size, and numbers of kernels from two a tap on.
SIZES: dict[tuple[int, ...], tuple[int, ...]] = {
    (3,): (6, 64, 65, 500, 100_000),
    (3, 3): (18, 64, 65, 250, 2000, 20_000),
    (5, 5): (50, 65, 1000),
    (7, 7): (98, 2000),
}
REPETITIONS = {"short": 20, "full": 100}
LAYERS = {"short": 3, "full": 15}
NETWORKS = {"short": 1, "full": 4}


def report(length: str) -> str:
    """Return the study as Markdown.

    Args:
        length: `short` or `full`.
    """
    repetitions = REPETITIONS[length]
    bands = ", ".join(f"{alpha:g}: {upper_end(alpha, repetitions):.3f}" for alpha in ALPHAS)
    layers, models = planted_verdicts(LAYERS[length], NETWORKS[length])
    head = ("weights", "kernel", "kernels", *(f"P(p <= {alpha:g})" for alpha in ALPHAS))
    return "\n".join(
        [
            "### Layers of independent weights: how often p_structured <= alpha\n",
            f"{repetitions} layers a row, fixed seeds. Upper ends of the binomial 99 % bands: {bands}; larger values "
            "are bold; of 25 taps and more, a quarter of the layers. Up to 64 kernels by permutation, beyond by the "
            "kurtosis.\n",
            _table(head, type_one_rows(repetitions)),
            "### Trained-like layers: how often p_structured <= 0.05\n",
            "Neighboring taps correlate by rho; last column: the power that the analysis states for 0.5.\n",
            _table(("kernel", "kernels", "rho 0.2", "rho 0.35", "rho 0.5", "stated"), power_rows(repetitions)),
            "### Verdicts on planted layers\n",
            f"Through `sync` and `analyze`, all in one dataset; layers of {OUT * INNER} kernels of 3x3, of which 64 "
            "are sampled.\n",
            _table(("planted", *VERDICTS), layers),
            "### Verdicts on planted networks\n",
            "Four layers each.\n",
            _table(("planted", "looks untrained", "differs", "too small", "right law"), models),
        ]
    )


def type_one_rows(
    repetitions: int, sizes: dict[tuple[int, ...], tuple[int, ...]] = SIZES
) -> Iterator[tuple[object, ...]]:
    """Yield distribution, kernel size, kernels, and the share of p-values at most each alpha."""
    null = EntropyNull()
    for kernel_size, counts in sizes.items():
        taps = int(np.prod(kernel_size))
        # Large kernels take long to permute.
        few = repetitions if taps < 25 else max(10, repetitions // 4)
        for n in counts:
            for name, law in INDEPENDENT.items():
                random = np.random.default_rng([taps, n, *map(ord, name)])
                p_values = np.array([p_structured(law(random, (n, taps)), null, i) for i in range(few)])
                shares = [float((p_values <= alpha).mean()) for alpha in ALPHAS]
                cells = [
                    f"**{share:.3f}**" if share > upper_end(alpha, few) else f"{share:.3f}"
                    for share, alpha in zip(shares, ALPHAS, strict=True)
                ]
                yield name, _name(kernel_size), n, *cells


def upper_end(alpha: float, repetitions: int) -> float:
    """Return the upper end of the 99 % band of a share whose expectation is alpha."""
    return float(binom.ppf(0.995, repetitions, alpha)) / repetitions


def power_rows(repetitions: int) -> Iterator[tuple[object, ...]]:
    """Yield kernel size, kernels, power by correlation, and the power that is stated."""
    null = EntropyNull()
    stated = EntropyPower(null)
    for kernel_size, counts in {(3,): (8, 16, 32, 64), (3, 3): (6, 9, 14, 32, 64, 256), (5, 5): (6, 12, 32)}.items():
        for n in counts:
            shares = []
            for correlation in (0.2, 0.35, 0.5):
                random = np.random.default_rng([n, *kernel_size, round(100 * correlation)])
                root = correlated_root(kernel_size, correlation)
                layers = correlated_kernels((repetitions, n), root, 0.0, random)
                shares.append(float(np.mean([p_structured(layer, null, i) <= 0.05 for i, layer in enumerate(layers)])))
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


def planted_verdicts(n_layers: int, n_networks: int) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Sync and analyze planted layers and networks; return rows of the tables of layers and of networks."""
    random = np.random.default_rng(1)
    torch.manual_seed(1)
    nets = [
        Net(name=f"kind{i}", state={f"l{j}.weight": as_weight(draw(random)) for j in range(n_layers)})
        for i, draw in enumerate(PLANTED.values())
    ]
    kinds = [*INITIALIZATIONS, "trained", "half trained", "trained, with a small untrained layer"]
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
    of_models: list[tuple[object, ...]] = []
    for i, kind in enumerate(kinds):
        mine = [row for row in models if str(row["model_id"]).startswith(f"acme/net{i}-")]
        counts = Counter(row["verdict"] for row in mine)
        law = sum(row["law"] == kind for row in mine) if kind in INITIALIZATIONS else ""
        of_models.append((kind, *(counts[v] or "" for v in ("looks untrained", "differs", "too small")), law))
    return of_layers, of_models


def _network(kind: str, random: np.random.Generator) -> dict[str, torch.Tensor]:
    state = {}
    for i in range(4):
        if kind in INITIALIZATIONS:
            weight = INITIALIZATIONS[kind](torch.empty(OUT, INNER, 3, 3))
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
