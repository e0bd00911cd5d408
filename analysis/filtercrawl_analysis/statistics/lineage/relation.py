"""What the layers of two checkpoints say about their relation: copies, parts, descendants or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from filtercrawl_analysis.statistics.lineage.descent import DescentFeatures, descent_probabilities
from filtercrawl_analysis.statistics.lineage.layer_pair import LayerPair

Relation = Literal["same", "quantized", "pruned", "permuted", "finetune", "partial", "sibling", "none"]
Side = Literal["a", "b"]

# Standard deviations of the combined correlation: independent networks reach 6 once in a billion pairs.
MIN_Z: Final = 6.0
# Correlation of layers that descend from one another; networks of one initialization are above it as well.
MIN_CORRELATION: Final = 0.1
# Share of the weights that must be codes: clipping changes some.
_MIN_CODES: Final = 0.9
# Share of weights that pruning sets to zero, at least, and share of the others that must then be kept or be close.
_MIN_PRUNED: Final = 0.1
_MIN_KEPT: Final = 0.99
# Equal layers of fewer weights are no evidence.
MIN_WEIGHTS: Final = 32
# Largest relative change after a permutation, of copies that were permuted and maybe stored in half precision; and the
# least before it: what is closer was trained.
_MAX_PERMUTED_CHANGE: Final = 0.01
MIN_ORDERED_CHANGE: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The relation of two checkpoints.

    Attributes:
        relation: `same`: equal weights, maybe of another precision; `quantized`, `pruned`, `permuted`: one was made of
            the other so; `finetune`: one is the other trained further; `partial`: some layers are equal, the others
            unrelated; `sibling`: both come from one initialization or ancestor and neither from the other; `none`.
        parent: The side that the other one was made from; None where the weights do not tell.
        probability: That the relation is right, 0 to 1; with that parent, where there is one.
        evidence: What shows it, for people.
    """

    relation: Relation
    parent: Side | None
    probability: float
    evidence: str


def judge(pairs: Sequence[LayerPair], permuted_changes: Sequence[float | None] = ()) -> Judgement:
    """Judge the relation of two checkpoints by their corresponding layers.

    Args:
        pairs: The layers in the order of the network.
        permuted_changes: For each the relative change after permuting the filters; empty if they were not matched.
    """
    compared = [pair for pair in pairs if pair.n >= MIN_WEIGHTS]
    if not compared:
        return Judgement(relation="none", parent=None, probability=1.0, evidence="no layers of one shape")
    return (
        _copy(compared)
        or _codes(compared)
        or _pruned(compared)
        or _permuted(compared, permuted_changes)
        or _trained(compared)
    )


def is_related(pairs: Sequence[LayerPair]) -> bool:
    """Tell whether layers are correlated beyond what independent networks are."""
    z, correlation = combined_z(pairs), mean_correlation(pairs)
    return z is not None and correlation is not None and z >= MIN_Z and correlation >= MIN_CORRELATION


def combined_z(pairs: Sequence[LayerPair]) -> float | None:
    """Return the z of all layers together (Stouffer), each counted alike; None without any."""
    found = [pair.z for pair in pairs if pair.z is not None]
    return sum(found) / math.sqrt(len(found)) if found else None


def mean_correlation(pairs: Sequence[LayerPair]) -> float | None:
    """Return the mean correlation of the layers, weighted by the root of their size; None without any."""
    found = [(pair.correlation, math.sqrt(pair.n)) for pair in pairs if pair.correlation is not None]
    if not found:
        return None
    correlations, sizes = zip(*found, strict=True)
    return float(np.average(correlations, weights=sizes))


def _copy(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of equal weights, of one or two precisions."""
    differing = [pair for pair in pairs if not pair.equal]
    if not differing:
        evidence = f"all {len(pairs)} layers are equal bit for bit"
        return Judgement(relation="same", parent=None, probability=0.999, evidence=evidence)
    for parent, types in (("a", {p.rounded_b for p in differing}), ("b", {p.rounded_a for p in differing})):
        if len(types) == 1 and (dtype := types.pop()) is not None:
            evidence = f"all {len(pairs)} layers are equal after rounding to {dtype}"
            side: Side = "a" if parent == "a" else "b"
            return Judgement(relation="same", parent=side, probability=0.999, evidence=evidence)
    return None


def _codes(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of a checkpoint whose weights are the other's, rounded to evenly spaced codes."""
    differing = [pair for pair in pairs if not pair.equal]
    sides: tuple[tuple[Side, list[float | None]], ...] = (
        ("a", [pair.codes_b for pair in differing]),
        ("b", [pair.codes_a for pair in differing]),
    )
    for parent, shares in sides:
        known = [(share, pair.n) for share, pair in zip(shares, differing, strict=True) if share is not None]
        weights = sum(n for _, n in known)
        if known and weights > sum(pair.n for pair in differing) / 2:
            share = sum(share * n for share, n in known) / weights
            if share >= _MIN_CODES:
                evidence = f"{share:.1%} of {weights:,} weights are the other's rounded to codes"
                return Judgement(relation="quantized", parent=parent, probability=0.99, evidence=evidence)
    return None


def _pruned(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of a checkpoint that has zeros where the other has none."""
    total = sum(pair.n for pair in pairs)
    zeros_a, zeros_b = sum(pair.zeros_a for pair in pairs), sum(pair.zeros_b for pair in pairs)
    if abs(zeros_a - zeros_b) < _MIN_PRUNED * total:
        return None
    parent: Side = "a" if zeros_b > zeros_a else "b"
    zeros, kept = (zeros_b, [p.kept_b for p in pairs]) if parent == "a" else (zeros_a, [p.kept_a for p in pairs])
    share = sum(kept) / (total - zeros) if total > zeros else 0.0
    text = f"{max(zeros_a, zeros_b) / total:.0%} of the weights are zero, {min(zeros_a, zeros_b) / total:.0%} before"
    if share >= _MIN_KEPT:
        evidence = f"{text}; {share:.1%} of the others are unchanged"
        return Judgement(relation="pruned", parent=parent, probability=0.99, evidence=evidence)
    if is_related(pairs):
        evidence = f"{text}; correlation of the layers {mean_correlation(pairs):.2f}"
        return Judgement(relation="pruned", parent=parent, probability=0.9, evidence=evidence)
    return None


def _permuted(pairs: Sequence[LayerPair], changes: Sequence[float | None]) -> Judgement | None:
    """Return the judgement of equal weights whose channels are in another order."""
    known = [change for change in changes if change is not None]
    if max(pair.relative_change or 0.0 for pair in pairs) < MIN_ORDERED_CHANGE:
        return None
    if not known or len(known) < len(pairs) / 2 or max(known) > _MAX_PERMUTED_CHANGE:
        return None
    close = f"equal to {max(known):.0e}" if max(known) else "equal"
    evidence = f"{len(known)} layers are {close} after a permutation of their channels or taps"
    return Judgement(relation="permuted", parent=None, probability=0.99, evidence=evidence)


def _trained(pairs: Sequence[LayerPair]) -> Judgement:
    """Return the judgement of layers that were trained: from one another, from a common ancestor, or not so."""
    equal = [pair for pair in pairs if pair.equal]
    others = [pair for pair in pairs if not pair.equal]
    frozen = f"{len(equal)} of {len(pairs)} layers are equal" if equal else ""
    if not is_related(others):
        if equal:
            evidence = f"{frozen}; the others are not related"
            return Judgement(relation="partial", parent=None, probability=0.95, evidence=evidence)
        z, correlation = combined_z(others), mean_correlation(others)
        numbers = "" if z is None or correlation is None else f": correlation {correlation:.3f}, z {z:.1f}"
        return Judgement(
            relation="none", parent=None, probability=0.99, evidence=f"the layers are not related{numbers}"
        )
    features = DescentFeatures.of(others)
    from_a, from_b = (0.0, 0.0) if features is None else descent_probabilities(features)
    evidence = f"correlation of the layers {mean_correlation(others):.2f}, z {combined_z(others):.0f}"
    if frozen:
        evidence = f"{frozen}; {evidence}"
    if from_a + from_b < 0.5:
        return Judgement(relation="sibling", parent=None, probability=1 - from_a - from_b, evidence=evidence)
    parent: Side = "a" if from_a >= from_b else "b"
    return Judgement(relation="finetune", parent=parent, probability=max(from_a, from_b), evidence=evidence)
