"""What the layers of two checkpoints say about their relation: copies, parts, descendants or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from filtercrawl.api.formatting import format_plural
from filtercrawl_analysis.statistics.lineage.descent import DescentFeatures, descent_probabilities
from filtercrawl_analysis.statistics.lineage.layer_pair import LayerPair

Relation = Literal[
    "same", "scaled", "negated", "quantized", "pruned", "permuted", "finetune", "partial", "sibling", "none"
]
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
# Difference of a factor from 1 that scaling makes; smaller ones are those of rounding.
_MIN_SCALING: Final = 1e-3
# Share of the weights that differ where the others are equal: training leaves none as it is.
_MAX_EDITED: Final = 0.1
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
        relation: `same`: equal weights, maybe of another precision; `scaled`, `negated`: each layer is a multiple of
            the other one, all factors 1 or -1 in `negated`; `quantized`, `pruned`, `permuted`: one was made of the
            other so; `finetune`: one is the other trained further or, without a parent, with some weights changed;
            `partial`: some layers are equal, the others unrelated; `sibling`: both come from one initialization or
            ancestor and neither from the other; `none`.
        parent: The side that the other one was made from; None where the weights do not tell.
        probability: That the relation is right, 0 to 1; with that parent, where there is one. None where there was
            nothing to judge by.
        template: What shows it, for people, with `{a}` and `{b}` for the names of the sides.
    """

    relation: Relation
    parent: Side | None
    probability: float | None
    template: str

    @property
    def evidence(self) -> str:
        """What shows the relation, of sides a and b."""
        return self.evidence_of("a", "b")

    def evidence_of(self, a: str, b: str) -> str:
        """Return what shows the relation, with these words for the sides."""
        return self.template.format(a=a, b=b)


def judge(pairs: Sequence[LayerPair], permuted_changes: Sequence[float | None] = ()) -> Judgement:
    """Judge the relation of two checkpoints by their corresponding layers.

    Layers that are equal are no evidence of how the others were made.

    Args:
        pairs: The layers in the order of the network.
        permuted_changes: For each the relative change after permuting the filters; empty if they were not matched.
    """
    compared = [pair for pair in pairs if pair.size >= MIN_WEIGHTS]
    if not compared:
        evidence = f"only layers of fewer than {MIN_WEIGHTS} weights" if pairs else "no layers of one shape"
        return Judgement(relation="none", parent=None, probability=None, template=evidence)
    differing = [pair for pair in compared if not pair.equal_values]
    if not differing:
        return _equal(pairs, len(compared))
    changes = [
        change
        for pair, change in zip(pairs, permuted_changes or [None] * len(pairs), strict=True)
        if pair.size >= MIN_WEIGHTS and not pair.equal_values
    ]
    n_equal = len(compared) - len(differing)
    judged = (
        _rounded(differing)
        or _scaled(differing)
        or _edited(differing)
        or _codes(differing)
        or _pruned(differing)
        or _permuted(differing, changes)
        or _trained(differing, n_equal)
    )
    equal = f"{n_equal} of {len(compared)} layers are equal; " if n_equal else ""
    return replace(judged, template=f"{equal}{judged.template}{_nonfinite(compared)}")


def _nonfinite(pairs: Sequence[LayerPair]) -> str:
    """Say how many weights of each side are not finite; empty where all are."""
    counts = {"a": sum(pair.nonfinite_a for pair in pairs), "b": sum(pair.nonfinite_b for pair in pairs)}
    return "".join(f"; {format_plural(n, 'weight')} of {{{side}}} not finite" for side, n in counts.items() if n)


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


def _equal(pairs: Sequence[LayerPair], n_compared: int) -> Judgement:
    """Return the judgement of checkpoints whose layers are equal, but maybe for some of few weights."""
    if not all(pair.equal_values for pair in pairs):
        evidence = f"{n_compared} of {len(pairs)} layers are equal; the others have fewer than {MIN_WEIGHTS} weights"
        return Judgement(relation="partial", parent=None, probability=0.95, template=evidence + _nonfinite(pairs))
    exact = all(pair.equal for pair in pairs)
    how = "bit for bit" if exact else "but for signs of zeros and bits of NaN"
    evidence = f"all {len(pairs)} layers are equal {how}{_nonfinite(pairs)}"
    return Judgement(relation="same", parent=None, probability=0.999, template=evidence)


def _rounded(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of equal weights of two precisions."""
    # Small enough weights of any network round to zeros, and large enough ones to infinities.
    if not any(pair.square_a and pair.square_b for pair in pairs):
        return None
    sides: tuple[tuple[Side, set[str | None]], ...] = (
        ("a", {pair.rounded_b for pair in pairs}),
        ("b", {pair.rounded_a for pair in pairs}),
    )
    for parent, types in sides:
        if len(types) == 1 and (dtype := types.pop()) is not None:
            evidence = f"{_layers_are(len(pairs))} equal after rounding to {dtype}"
            return Judgement(relation="same", parent=parent, probability=0.999, template=evidence)
    if all(pair.one_origin for pair in pairs):
        evidence = f"{_layers_are(len(pairs))} equal but for rounding, one to float16 and one to bfloat16"
        return Judgement(relation="same", parent=None, probability=0.999, template=evidence)
    return None


def _scaled(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of layers that are multiples of each other."""
    factors = [pair.factor for pair in pairs if pair.factor is not None]
    if len(factors) < len(pairs) or all(abs(factor - 1) < _MIN_SCALING for factor in factors):
        return None
    if all(abs(abs(factor) - 1) < _MIN_SCALING for factor in factors):
        evidence = f"{_layers_are(sum(factor < 0 for factor in factors))} equal with the other sign"
        return Judgement(relation="negated", parent=None, probability=0.99, template=evidence)
    span = " to ".join(dict.fromkeys(f"{factor:.4g}" for factor in (min(factors), max(factors))))
    exact = all(pair.half_a is None and pair.half_b is None for pair in pairs)
    rounded = "" if exact else " and rounding to half precision"
    evidence = f"{_layers_are(len(pairs))} equal up to a factor of {span} a layer, from {{a}} to {{b}}{rounded}"
    return Judgement(relation="scaled", parent=None, probability=0.99, template=evidence)


def _codes(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of a checkpoint whose weights are the other's, rounded to evenly spaced codes."""
    sides: tuple[tuple[Side, list[float | None]], ...] = (
        ("a", [pair.codes_b for pair in pairs]),
        ("b", [pair.codes_a for pair in pairs]),
    )
    total = sum(pair.n for pair in pairs)
    for parent, shares in sides:
        known = [(share, pair.n) for share, pair in zip(shares, pairs, strict=True) if share is not None]
        weights = sum(n for _, n in known)
        if known and weights > total / 2:
            share = sum(share * n for share, n in known) / weights
            if share >= _MIN_CODES:
                among = f"{weights:,}" if weights == total else f"{weights:,} of {total:,}"
                evidence = f"{share:.1%} of {among} weights are the other's rounded to codes"
                return Judgement(relation="quantized", parent=parent, probability=0.99, template=evidence)
    return None


def _pruned(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of a checkpoint that has zeros where the other has none."""
    total = sum(pair.n for pair in pairs)
    zeros_a, zeros_b = sum(pair.zeros_a for pair in pairs), sum(pair.zeros_b for pair in pairs)
    if not total or abs(zeros_a - zeros_b) < _MIN_PRUNED * total:
        return None
    parent: Side = "a" if zeros_b > zeros_a else "b"
    zeros, kept = (zeros_b, [p.kept_b for p in pairs]) if parent == "a" else (zeros_a, [p.kept_a for p in pairs])
    share = sum(kept) / (total - zeros) if total > zeros else 0.0
    text = f"{max(zeros_a, zeros_b) / total:.0%} of the weights are zero, {min(zeros_a, zeros_b) / total:.0%} before"
    if share >= _MIN_KEPT:
        evidence = f"{text}; {share:.1%} of the others are unchanged"
        return Judgement(relation="pruned", parent=parent, probability=0.99, template=evidence)
    if is_related(pairs):
        evidence = f"{text}; correlation of the layers {mean_correlation(pairs):.2f}"
        return Judgement(relation="pruned", parent=parent, probability=0.9, template=evidence)
    return None


def _permuted(pairs: Sequence[LayerPair], changes: Sequence[float | None]) -> Judgement | None:
    """Return the judgement of equal weights whose channels are in another order."""
    known = [change for change in changes if change is not None]
    if max(pair.relative_change or 0.0 for pair in pairs) < MIN_ORDERED_CHANGE:
        return None
    if not known or len(known) < len(pairs) / 2 or max(known) > _MAX_PERMUTED_CHANGE:
        return None
    close = f"equal to {max(known):.0e}" if max(known) else "equal"
    among = _layers_are(len(known)) if len(known) == len(pairs) else f"{len(known)} of {len(pairs)} layers are"
    evidence = f"{among} {close} after a permutation of their channels or taps"
    return Judgement(relation="permuted", parent=None, probability=0.99, template=evidence)


def _edited(pairs: Sequence[LayerPair]) -> Judgement | None:
    """Return the judgement of layers that are equal but for some weights, or that are not finite in some places."""
    changed, n = sum(pair.changed for pair in pairs), sum(pair.n for pair in pairs)
    total = sum(pair.n - max(pair.zeros_a, pair.zeros_b) for pair in pairs)
    if not total or changed > _MAX_EDITED * total:
        return None
    evidence = f"changed weights: {changed:,} of the {n:,} in {format_plural(len(pairs), 'layer')}"
    return Judgement(relation="finetune", parent=None, probability=0.99, template=evidence)


def _trained(pairs: Sequence[LayerPair], n_equal: int) -> Judgement:
    """Return the judgement of layers that were trained, or not, and differ; `n_equal` others do not."""
    if not is_related(pairs):
        if not any(pair.n for pair in pairs):
            evidence, probability = "no weight of the others is finite in both", 0.95 if n_equal else None
        elif n_equal:
            evidence, probability = "the others are not related", 0.95
        else:
            z, correlation = combined_z(pairs), mean_correlation(pairs)
            numbers = "" if z is None or correlation is None else f": correlation {correlation:.3f}, z {z:.1f}"
            evidence, probability = f"the layers are not related{numbers}", 0.99
        return Judgement(
            relation="partial" if n_equal else "none", parent=None, probability=probability, template=evidence
        )
    features = DescentFeatures.of(pairs)
    from_a, from_b = (0.0, 0.0) if features is None else descent_probabilities(features)
    evidence = f"correlation of the layers {mean_correlation(pairs):.2f}, z {combined_z(pairs):.0f}"
    if from_a + from_b < 0.5:
        return Judgement(relation="sibling", parent=None, probability=1 - from_a - from_b, template=evidence)
    parent: Side = "a" if from_a >= from_b else "b"
    return Judgement(relation="finetune", parent=parent, probability=max(from_a, from_b), template=evidence)


def _layers_are(n: int) -> str:
    return f"{format_plural(n, 'layer')} {'is' if n == 1 else 'are'}"
