"""Layers whose nature is known: independent weights of many distributions, trained-like, damaged and untrained ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.power import correlated_kernels, correlated_root
from filtercrawl_analysis.statistics.entropy.simulation import variance_entropies
from filtercrawl_analysis.statistics.entropy.structure_test import LayerToTest, StructureTests

Random = np.random.Generator

# Kernels of the planted layers, [OUT, INNER, 3, 3].
OUT, INNER = 32, 20
SAMPLED = 64

INDEPENDENT: dict[str, Callable[[Random, tuple[int, int]], Array]] = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "uniform": lambda random, shape: random.uniform(-1, 1, shape),
    "Laplace": lambda random, shape: random.laplace(size=shape),
    "Student, 3 degrees of freedom": lambda random, shape: random.standard_t(3, shape),
    "sparse: a tenth 20 times larger": lambda random, shape: (
        random.standard_normal(shape) * np.where(random.random(shape) < 0.1, 1, 0.05)
    ),
    "normal, kernels of different scales": lambda random, shape: (
        random.standard_normal(shape) * np.exp(0.6 * random.standard_normal((shape[0], 1)))
    ),
}


def p_values(layer: Array, tests: StructureTests, seed: int, kernel_size: Sequence[int]) -> tuple[float, float | None]:
    """Return `p_structured` and `p_even` of a layer [n, taps] of which `SAMPLED` kernels are sampled."""
    weights = layer.ravel() - layer.mean()
    chosen = np.random.default_rng(seed).permutation(len(layer))[:SAMPLED]
    tested = LayerToTest(
        kernels=layer if len(layer) <= SAMPLED else layer[chosen],
        n_kernels=len(layer),
        kernel_size=kernel_size,
        entropy=float(variance_entropies(layer[None])[0]),
        kurtosis=float((weights**4).mean() / (weights**2).mean() ** 2 - 3),
    )
    found = tests.test(tested, [seed])
    assert found.p_structured is not None
    return found.p_structured, found.p_even


def trained(random: Random, noise: float = 0.0) -> Array:
    """Smooth kernels, correlated as those of CNN Filter DB on average, of filters of different scales [n, 9].

    Args:
        random: Source of random numbers.
        noise: Independent noise that is added, in deviations of the kernels.
    """
    scales = np.exp(0.5 * random.standard_normal((OUT, 1, 1)))
    drawn = correlated_kernels((1, OUT * INNER), correlated_root((3, 3)), 1.0, random)
    layer = (drawn.reshape(OUT, INNER, 9) * scales).reshape(-1, 9)
    noisy: Array = layer + noise * layer.std() * random.standard_normal(layer.shape)
    return noisy


def noisy_copies(random: Random, noise: float, prototypes: int = 4) -> Array:
    """Copies of a few kernels, each of another scale, with noise relative to their norm [n, 9]."""
    layer = trained(random)[random.integers(0, prototypes, OUT * INNER)] * random.standard_normal((OUT * INNER, 1))
    noisy: Array = layer + noise / 3 * np.linalg.norm(layer, axis=1, keepdims=True) * random.standard_normal(
        layer.shape
    )
    return noisy


def with_outliers(layer: Array, count: int, share: float) -> Array:
    """Enlarge the first kernels, so that they hold this share of the energy."""
    layer = layer.copy()
    energy, theirs = float((layer**2).sum()), float((layer[:count] ** 2).sum())
    layer[:count] *= math.sqrt(share / (1 - share) * (energy - theirs) / theirs)
    return layer


def partly_dead(random: Random, share: float) -> Array:
    """Trained kernels of which a share is a hundred thousand times smaller [n, 9]."""
    dead: Array = np.where(random.random((OUT * INNER, 1)) < share, 1e-5, 1.0) * trained(random)
    return dead


def half_sparse(layer: Array, random: Random) -> Array:
    """Set half of the weights to zero."""
    sparse: Array = layer * (random.random(layer.shape) < 0.5)
    return sparse


def correlated(random: Random, correlation: float) -> Array:
    """Normal kernels whose neighboring taps correlate [n, 9]."""
    return correlated_kernels((1, OUT * INNER), correlated_root((3, 3), correlation), 0.0, random)[0]


_SHAPE = (OUT * INNER, 9)
# Layers of laws that no rule and no threshold was chosen with, and the verdicts that are right.
UNSEEN: dict[str, tuple[Callable[[Random], Array], tuple[str, ...]]] = {
    "independent, Cauchy": (lambda random: random.standard_cauchy(_SHAPE), ("too small", "outliers")),
    "independent, Student's with 2 degrees of freedom": (
        lambda random: random.standard_t(2, _SHAPE), ("random", "too small")),
    "independent, one in 20 eight times larger": (
        lambda random: random.standard_normal(_SHAPE) * np.where(random.random(_SHAPE) < 0.05, 8, 1), ("random",)),
    "independent, lognormal magnitudes": (
        lambda random: random.lognormal(0, 1, _SHAPE) * random.choice([-1, 1], _SHAPE), ("random", "too small")),
    "independent, skewed (gamma)": (lambda random: random.gamma(1, 1, _SHAPE) - 1, ("random",)),
    "independent, half of the weights zero": (
        lambda random: half_sparse(random.standard_normal(_SHAPE), random), ("random",)),
    "normal, lognormal scales of kernels, deviation 1.5": (
        lambda random: random.standard_normal(_SHAPE) * np.exp(1.5 * random.standard_normal((_SHAPE[0], 1))),
        ("random", "too small", "outliers")),
    "normal, correlation 0.1 of neighboring taps": (lambda random: correlated(random, 0.1), ("ok",)),
    "normal, correlation 0.2 of neighboring taps": (lambda random: correlated(random, 0.2), ("ok",)),
    "trained, half of the weights zero": (lambda random: half_sparse(trained(random), random), ("ok",)),
    "trained, times Cauchy scales of filters": (
        lambda random: trained(random) * np.repeat(random.standard_cauchy((OUT, 1)), INNER, 0),
        ("ok", "too small", "outliers")),
    "trained, times lognormal scales of kernels, deviation 1.5": (
        lambda random: trained(random) * np.exp(1.5 * random.standard_normal((_SHAPE[0], 1))),
        ("ok", "too small")),
    "copies of 12 kernels, 10% noise": (lambda random: noisy_copies(random, 0.1, 12), ("near copies",)),
    "copies of 2 kernels, 12% noise": (lambda random: noisy_copies(random, 0.12, 2), ("near copies",)),
    "trained, 90% of the energy in one kernel of 80": (
        lambda random: with_outliers(trained(random), OUT * INNER // 80, 0.9), ("outliers",)),
    "trained, 93% dead": (lambda random: partly_dead(random, 0.93), ("dead",)),
    "trained, 85% dead": (lambda random: partly_dead(random, 0.85), ("ok",)),
}  # fmt: skip


def as_weight(layer: Array, scale: float = 0.05) -> torch.Tensor:
    """Return kernels [n, 9] as a weight of standard deviation `scale`, [OUT, INNER, 3, 3]."""
    return torch.from_numpy((layer * scale / layer.std()).reshape(OUT, INNER, 3, 3).astype(np.float32))


def _truncated(weight: torch.Tensor, std: float) -> torch.Tensor:
    std /= 0.87962566103423978
    return torch.nn.init.trunc_normal_(weight, 0, std, -2 * std, 2 * std)


FAN_IN = INNER * 9
INITIALIZATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "torch default": lambda w: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
    "he normal, fan out": lambda w: torch.nn.init.kaiming_normal_(w, mode="fan_out"),
    "he truncated, fan in": lambda w: _truncated(w, math.sqrt(2 / FAN_IN)),
    "glorot uniform": torch.nn.init.xavier_uniform_,
    "lecun truncated": lambda w: _truncated(w, math.sqrt(1 / FAN_IN)),
    "normal 0.02": lambda w: torch.nn.init.normal_(w, std=0.02),
    "orthogonal": torch.nn.init.orthogonal_,
}
