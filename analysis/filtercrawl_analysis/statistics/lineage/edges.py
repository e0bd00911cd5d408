"""The lineage of the checkpoints of a dataset: for each that was made from another one, which and how."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from filtercrawl_analysis.statistics.lineage.descent import DescentFeatures
from filtercrawl_analysis.statistics.lineage.family_tree import Pair, family_trees
from filtercrawl_analysis.statistics.lineage.pairs import ModelPair
from filtercrawl_analysis.statistics.lineage.relation import mean_correlation

COPIES: Final = ("same", "scaled", "negated", "quantized", "pruned", "permuted")
# Probability of a direction that only the relation to others tells, and one that nothing tells.
_BY_RELATIVES: Final = 0.9
_BY_NOTHING: Final = 0.5
# Less certain descents are no rows of the table.
MIN_PROBABILITY: Final = 0.5
# Odds of a direction that dates tell.
_DATE_ODDS: Final = 10.0
# Probability that what a card states is so, and if the weights agree.
_STATED: Final = 0.9
_CONFIRMED: Final = 0.99


@dataclass(frozen=True, kw_only=True)
class LineageEdge:
    """A checkpoint and the one that it was made from.

    Attributes:
        child: model_id of the later one.
        parent: model_id of the earlier one; the name that the card states where the dataset does not have it.
        relation: How it was made: a relation of `relation.Judgement`, or what the card states.
        probability: That relation, parent and direction are right.
        evidence: What shows it.
        pair: Their comparison; None where they were not compared.
    """

    child: str
    parent: str
    relation: str
    probability: float
    evidence: str
    pair: ModelPair | None = None


def lineage_edges(
    pairs: Sequence[ModelPair], dates: Mapping[str, str], stated: Mapping[Pair, str] | None = None
) -> list[LineageEdge]:
    """Return at most one edge for each child, without cycles, sorted by child.

    Copies come first (another precision, codes, zeros, another order of channels), then training by the trees of
    families, then checkpoints that only share some layers with another one, then those with some weights changed. What
    a card states comes before all of it.

    Args:
        pairs: The compared pairs.
        dates: ISO dates of models, of those that have one.
        stated: Relations that cards state, by (child, parent).
    """
    found: dict[str, LineageEdge] = {}
    compared = {(pair.a, pair.b): pair for pair in pairs}
    cards = [_stated_edge(*pair, relation, compared) for pair, relation in sorted((stated or {}).items())]
    _add(sorted(cards, key=lambda edge: -edge.probability), found)  # of several, the one that the weights confirm
    relatives = _relatives(pairs)
    _add(_copies(pairs, dates, relatives), found)
    copies = {child for child, edge in found.items() if edge.relation in COPIES}
    _add(_trained(pairs, copies, dates), found)
    _add(_partial(pairs, copies, dates, relatives), found)
    _add(_edited(pairs, dates, relatives), found)
    return [found[child] for child in sorted(found)]


def _add(edges: Iterable[LineageEdge], found: dict[str, LineageEdge]) -> None:
    """Add the edges of children that have none yet, but for those from a descendant of the child."""
    for edge in edges:
        if edge.child not in found and edge.child not in _ancestors(edge.parent, found):
            found[edge.child] = edge


def _stated_edge(child: str, parent: str, relation: str, compared: Mapping[Pair, ModelPair]) -> LineageEdge:
    pair = compared.get((min(child, parent), max(child, parent)))
    if pair is None:
        return LineageEdge(
            child=child, parent=parent, relation=relation, probability=_STATED, evidence="the card states it"
        )
    judged = pair.judgement
    if judged.relation == "none":
        evidence = f"the card states it; {_evidence(pair)}"
        return LineageEdge(child=child, parent=parent, relation=relation, probability=0.5, evidence=evidence, pair=pair)
    found = relation if judged.relation == "sibling" else judged.relation
    evidence = f"the card states it; {_evidence(pair)}"
    return LineageEdge(child=child, parent=parent, relation=found, probability=_CONFIRMED, evidence=evidence, pair=pair)


def _evidence(pair: ModelPair) -> str:
    """Return what shows the relation of a pair; a row names the child first, so that `a` and `b` would say nothing."""
    return pair.judgement.evidence_of(pair.a, pair.b)


def _relatives(pairs: Sequence[ModelPair]) -> dict[str, float]:
    """Return for each model how well it agrees with others, to which it is not related by equal layers alone.

    The sum of the correlations, each times the ratio of the geometric to the quadratic mean of the norms. That of an
    original is larger than that of a copy with permuted channels, with other factors, or with some of its layers.
    """
    sums: dict[str, float] = defaultdict(float)
    for pair in pairs:
        if pair.judgement.relation in ("same", "scaled", "quantized", "pruned", "finetune", "sibling"):
            for name in (pair.a, pair.b):
                sums[name] += (mean_correlation(pair.pairs) or 0.0) * _likeness_of_norms(pair)
    return sums


def _likeness_of_norms(pair: ModelPair) -> float:
    ratios = [
        2 * math.sqrt(layer.square_a * layer.square_b) / (layer.square_a + layer.square_b)
        for layer in pair.pairs
        if layer.square_a + layer.square_b
    ]
    return float(np.mean(ratios)) if ratios else 0.0


def _copies(
    pairs: Sequence[ModelPair], dates: Mapping[str, str], relatives: Mapping[str, float]
) -> Iterator[LineageEdge]:
    """Yield the edges of copies, of each those to the nearest originals first."""
    options: dict[str, list[LineageEdge]] = defaultdict(list)
    for pair in pairs:
        if pair.judgement.relation in COPIES:
            edge = _directed(pair, dates, relatives)
            options[edge.child].append(edge)
    for _, edges in sorted(options.items()):
        yield from sorted(edges, key=lambda edge: (edge.parent in options, _distance(edge), edge.parent))


def _distance(edge: LineageEdge) -> float:
    # A permuted copy is far from its original, position by position.
    return np.inf if edge.pair is None or edge.relation == "permuted" else edge.pair.distance


def _directed(pair: ModelPair, dates: Mapping[str, str], relatives: Mapping[str, float]) -> LineageEdge:
    """Return the edge of a pair, its direction by the weights, else by dates, else by the relation to others."""
    judged, parent, share = pair.judgement, pair.parent, 1.0
    evidence = _evidence(pair)
    dated = dates.get(pair.a), dates.get(pair.b)
    if parent is None and None not in dated and dated[0] != dated[1]:
        parent = pair.a if str(dated[0]) < str(dated[1]) else pair.b
        share = _DATE_ODDS / (1 + _DATE_ODDS)
        evidence += "; direction by date"
    elif parent is None and relatives.get(pair.a) != relatives.get(pair.b):
        parent = max(pair.a, pair.b, key=lambda name: relatives.get(name, 0.0))
        share = _BY_RELATIVES
        evidence += "; direction by the relation to others"
    elif parent is None:
        parent, share = pair.a, _BY_NOTHING
        evidence += "; nothing tells the direction"
    return LineageEdge(
        child=pair.b if parent == pair.a else pair.a,
        parent=parent,
        relation=judged.relation,
        probability=(judged.probability or 0.0) * share,
        evidence=evidence,
        pair=pair,
    )


def _trained(pairs: Sequence[ModelPair], copies: set[str], dates: Mapping[str, str]) -> Iterator[LineageEdge]:
    """Yield the edges of checkpoints that were trained on."""
    related = [
        pair
        for pair in pairs
        if (pair.judgement.relation == "sibling" or (pair.judgement.relation == "finetune" and pair.judgement.parent))
        and not {pair.a, pair.b} & copies
    ]
    features = {(pair.a, pair.b): DescentFeatures.of(pair.pairs) for pair in related}
    known = {key: value for key, value in features.items() if value is not None}
    by_key = {(pair.a, pair.b): pair for pair in related if (pair.a, pair.b) in known}
    prior = {}
    for a, b in known:
        if a in dates and b in dates and dates[a] != dates[b]:
            prior[a, b] = _DATE_ODDS if dates[a] < dates[b] else 1 / _DATE_ODDS
    for descent in family_trees(family_squares(list(by_key.values())), known, prior):
        if descent.probability < MIN_PROBABILITY:
            continue
        pair = by_key[min(descent.child, descent.parent), max(descent.child, descent.parent)]
        frozen = f"{pair.equal} of {pair.common} layers are equal; " if pair.equal else ""
        correlation = mean_correlation([layer for layer in pair.pairs if not layer.equal])
        dated = "; dates counted" if (pair.a, pair.b) in prior else ""
        yield LineageEdge(
            child=descent.child,
            parent=descent.parent,
            relation="finetune",
            probability=descent.probability,
            evidence=f"{frozen}correlation of the layers {correlation or 0:.3f}, distance {pair.distance:.3f}{dated}",
            pair=pair,
        )


def family_squares(pairs: Sequence[ModelPair]) -> dict[Pair, float]:
    """Return squared distances in one scale: of each layer in units of its mean square over the models."""
    norms: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        for layer, compared in pair.layers:
            norms[layer.tensor] += [compared.square_a / layer.size, compared.square_b / layer.size]
    scale = {tensor: float(np.mean(values)) for tensor, values in norms.items()}
    squares = {}
    for pair in pairs:
        layers = [(layer, compared) for layer, compared in pair.layers if scale[layer.tensor] > 0]
        weights = [np.sqrt(compared.n) for _, compared in layers]
        values = [compared.distance**2 / layer.size / scale[layer.tensor] for layer, compared in layers]
        squares[pair.a, pair.b] = float(np.average(values, weights=weights)) if layers else 0.0
    return squares


def _partial(
    pairs: Sequence[ModelPair], copies: set[str], dates: Mapping[str, str], relatives: Mapping[str, float]
) -> Iterator[LineageEdge]:
    """Yield the edges of checkpoints that share some layers with another one and are else unrelated to it."""
    options: dict[str, list[LineageEdge]] = defaultdict(list)
    for pair in pairs:
        if pair.judgement.relation == "partial":
            edge = _directed(pair, dates, relatives)
            options[edge.child].append(replace(edge, evidence=_shared(pair) + edge.evidence.partition(";")[2]))
    for _, edges in sorted(options.items()):
        yield min(
            edges,
            key=lambda edge: (
                edge.parent in copies,
                -edge.pair.equal if edge.pair else 0,
                -relatives.get(edge.parent, 0.0),
                edge.parent,
            ),
        )


def _edited(
    pairs: Sequence[ModelPair], dates: Mapping[str, str], relatives: Mapping[str, float]
) -> Iterator[LineageEdge]:
    """Yield the edges of checkpoints that are another one with some weights changed, the nearest first."""
    edited = [pair for pair in pairs if pair.judgement.relation == "finetune" and pair.judgement.parent is None]
    for pair in sorted(edited, key=lambda pair: (pair.distance, pair.a, pair.b)):
        yield _directed(pair, dates, relatives)


def _ancestors(name: str, found: Mapping[str, LineageEdge]) -> set[str]:
    """Return a model and all that it descends from."""
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        name = found[name].parent if name in found else name
    return seen


def _shared(pair: ModelPair) -> str:
    return f"{pair.equal} of {pair.common} layers are equal;"
