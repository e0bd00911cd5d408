"""Comparison of candidate pairs of checkpoints by parts of their layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.statistics.lineage.filter_matching import MAX_FILTERS, can_match, change_of_sorted
from filtercrawl_analysis.statistics.lineage.layer_matching import match_layers
from filtercrawl_analysis.statistics.lineage.layer_pair import LayerPair, compare_weights
from filtercrawl_analysis.statistics.lineage.models import LayerParts, ModelLayer, read_parts
from filtercrawl_analysis.statistics.lineage.relation import Judgement, judge

# Layers of a pair that are compared: of those that differ and of equal ones, spread over the depth.
_MAX_DIFFERING: Final = 12
_MAX_EQUAL: Final = 4
# Layers that are read as a whole to find permuted channels, and their relative difference of norms.
_MAX_WHOLE: Final = 3
_NORMS: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class ModelPair:
    """Two checkpoints compared.

    Attributes:
        a: The smaller model_id.
        b: The other one.
        layers: The compared layers of a and how they differ from those of b, in the order of a.
        judgement: Their relation.
        common: Number of corresponding layers.
        equal: How many of them are equal.
    """

    a: str
    b: str
    layers: tuple[tuple[ModelLayer, LayerPair], ...]
    judgement: Judgement
    common: int
    equal: int

    @property
    def pairs(self) -> list[LayerPair]:
        """The compared layers."""
        return [pair for _, pair in self.layers]

    @property
    def distance(self) -> float:
        """Root mean square of |a - b| / sqrt(|a| |b|) over the compared layers; 0 for equal ones."""
        squares = [
            pair.distance**2 / math.sqrt(pair.square_a * pair.square_b)
            for pair in self.pairs
            if pair.square_a and pair.square_b
        ]
        return math.sqrt(float(np.mean(squares))) if squares else 0.0

    @property
    def parent(self) -> str | None:
        """The model that the other one was made from, where the weights tell."""
        return {"a": self.a, "b": self.b, None: None}[self.judgement.parent]


class PairComparison:
    """Compares pairs of checkpoints of a dataset; the parts of layers that were read last are kept."""

    def __init__(self, dataset: DatasetView, models: dict[str, tuple[ModelLayer, ...]]) -> None:
        self._dataset = dataset
        self._models = models
        self._parts = LayerParts(dataset)

    def compare(self, a: str, b: str) -> ModelPair:
        """Compare two models, the smaller model_id first."""
        first, second = self._models[a], self._models[b]
        matches = [(first[i], second[j]) for i, j, _ in match_layers(first, second).pairs]
        differing = [pair for pair in matches if pair[0].sha256 != pair[1].sha256]
        equal = [pair for pair in matches if pair[0].sha256 == pair[1].sha256]
        chosen = [*_spread(differing, _MAX_DIFFERING), *_spread(equal, _MAX_EQUAL)]
        parts_a = self._parts.get(a, [layer for layer, _ in chosen])
        parts_b = self._parts.get(b, [layer for _, layer in chosen])
        layers = tuple((x, compare_weights(parts_a[x.sha256], parts_b[y.sha256])) for x, y in chosen)
        judgement = judge([pair for _, pair in layers])
        if judgement.relation in ("none", "partial", "sibling", "finetune") and differing:
            judgement = judge([pair for _, pair in layers], self._permuted_changes(differing, len(layers)))
        return ModelPair(a=a, b=b, layers=layers, judgement=judgement, common=len(matches), equal=len(equal))

    def _permuted_changes(self, pairs: Sequence[tuple[ModelLayer, ModelLayer]], count: int) -> list[float | None]:
        """Return the changes of some layers whose norms are equal after their channels are sorted.

        Those of all layers if the layers that are read are equal, as many as `count`; empty where norms differ. None
        for a layer with weights that are not finite.
        """
        if not all(_equal_norms(x, y) for x, y in pairs):
            return []
        usable = [pair for pair in pairs if pair[0].shape[0] <= MAX_FILTERS]
        changes: list[float | None] = []
        for x, y in _spread(usable, _MAX_WHOLE):
            whole = read_parts(self._dataset, [x, y], part=MAX_FILTERS)
            a, b = whole[x.sha256], whole[y.sha256]
            changes.append(change_of_sorted(a, b) if can_match(a, b) else None)
        return (changes * count)[:count] if changes else []


def _equal_norms(a: ModelLayer, b: ModelLayer) -> bool:
    if a.norms is None or b.norms is None:
        return False
    return all(abs(x - y) <= _NORMS * x for x, y in zip(a.norms, b.norms, strict=True))


def _spread(pairs: Sequence[tuple[ModelLayer, ModelLayer]], count: int) -> list[tuple[ModelLayer, ModelLayer]]:
    """Return at most so many, evenly spaced."""
    if len(pairs) <= count:
        return list(pairs)
    return [pairs[i] for i in np.linspace(0, len(pairs) - 1, count).round().astype(int).tolist()]
