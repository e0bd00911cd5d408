"""Picks that depend on a seed and on ids alone, not on the order in which things come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.uint64]
_WHOLE: Final = 1 << 64


def score(seed: int, what: str, name: str) -> int:
    """Return a number below 2**64 that is as good as random: the first bytes of a SHA-256.

    Args:
        seed: The seed of the recipe.
        what: What is picked; the numbers of one name for two purposes are unrelated.
        name: The id.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}\n{what}\n{name}".encode()).digest()[:8])


def share(seed: int, what: str, name: str) -> float:
    """Return a fraction from 0 up to 1, not included, that is as good as random."""
    return (score(seed, what, name) >> 11) / (_WHOLE >> 11)


def pick(seed: int, what: str, names: Iterable[str], limit: int) -> set[str]:
    """Return at most `limit` of distinct names: those of the lowest scores."""
    return set(sorted(set(names), key=lambda name: (score(seed, what, name), name))[:limit])


def kernel_scores(seed: int, layer_id: str, n_kernels: int) -> Scores:
    """Return a score of each kernel of a layer [n_kernels].

    The raw numbers of a PCG64 generator, whose stream NumPy guarantees for all versions.
    """
    scores: Scores = np.random.PCG64(score(seed, "kernels", layer_id)).random_raw(n_kernels)
    return scores


def lowest(scores: Scores, kept: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    """Keep at most `limit` of the kernels that are kept: those of the lowest scores, of equal ones the first."""
    places = np.flatnonzero(kept)
    if len(places) <= limit:
        return kept
    chosen = places[np.argsort(scores[places], kind="stable")[:limit]]
    mask = np.zeros(len(kept), np.bool_)
    mask[chosen] = True
    return mask
