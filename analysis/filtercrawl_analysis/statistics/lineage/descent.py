"""Which of two related checkpoints descends from the other, if any: a model fitted to planted families."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.lineage.layer_pair import LayerPair

# A distance of this is that of rounding; smaller ones tell no direction.
_MIN_DISTANCE: Final = 1e-6
# Loss of slope that weight decay alone brings about: smaller ones tell nothing.
_DECAY: Final = 0.02
# Share of the squared distance that a factor of each layer makes, from which on the factor is left out.
_MOSTLY_SCALE: Final = 2 / 3
# Losses beyond these are as clear as these.
_LOW, _HIGH = -2.0, 3.0
# Fitted by `benchmarks/lineage.py` to pairs of networks of planted families: intercept, losses of the parent (strong,
# rest), losses of the child, log distance.
PAIR_MODEL: Final = (2.5, -3.77, -0.96, -0.69, -0.43, -0.35)
# The same for neighbors in a tree, and at last the coefficient of `branching`.
NEIGHBOR_MODEL: Final = (2.58, -4.0, -0.76, -0.18, 0.17, 0.07, -2.75)


@dataclass(frozen=True, kw_only=True)
class DescentFeatures:
    """Numbers that tell a descendant from its parent and from a sibling, over the layers that differ.

    A step of training is nearly orthogonal to the weights that it starts from, and keeps their structure. So the
    regression of a child on its parent has a slope near 1, the same in the strongest singular directions of the parent
    as in the others. Two networks that were trained from a common start have slopes below 1, and lower ones in the
    strongest directions, as each of them learned its own. The loss of slope, 1 - slope, counts in units of half the
    distance, and of what weight decay takes away. Where layers differ mostly by a factor, as those of a scaled copy
    that was trained on, they are compared at equal norms: a factor tells no direction.

    Attributes:
        distance: Mean over layers of the squared distance over the product of the norms, weighted by the root of the
            layer's size.
        losses_a: Loss of slope of b on a, in the strongest directions of a and in the others.
        losses_b: The same of a on b.
    """

    distance: float
    losses_a: tuple[float, float]
    losses_b: tuple[float, float]

    @classmethod
    def of(cls, pairs: Sequence[LayerPair]) -> Self | None:
        """Return the features of the layers that differ; None where no layer has slopes."""
        used = [pair for pair in pairs if pair.slopes_a is not None and pair.slopes_b is not None and not pair.equal]
        if not used:
            return None
        size = np.array([math.sqrt(pair.n) for pair in used])
        factor = np.sqrt([pair.square_b / pair.square_a for pair in used])
        square = np.array([pair.distance**2 / math.sqrt(pair.square_a * pair.square_b) for pair in used])
        scale = factor + 1 / factor - 2
        if np.average(scale, weights=size) > _MOSTLY_SCALE * np.average(square, weights=size):
            square = np.maximum(square - scale, 0)
        else:
            factor = np.ones_like(factor)
        distance = max(float(np.average(square, weights=size)), _MIN_DISTANCE)

        def losses(slopes: Array) -> tuple[float, float]:
            strong, rest = np.average(slopes, axis=0, weights=size).tolist()
            unit = distance / 2 + _DECAY
            return (1 - strong) / unit, (1 - rest) / unit

        return cls(
            distance=distance,
            losses_a=losses(np.array([pair.slopes_a for pair in used]) / factor[:, None]),
            losses_b=losses(np.array([pair.slopes_b for pair in used]) * factor[:, None]),
        )

    def vector(self, parent: str, branching: float | None = None) -> Array:
        """Return the numbers that the models weight, for the parent `a` or `b`."""
        own, other = (self.losses_a, self.losses_b) if parent == "a" else (self.losses_b, self.losses_a)
        losses = np.clip([*own, *other], _LOW, _HIGH)
        return np.array([1.0, *losses, math.log(self.distance), *(() if branching is None else (branching,))])


def descent_probabilities(features: DescentFeatures, branching: float | None = None) -> tuple[float, float]:
    """Return the probabilities that b descends from a, and a from b; the rest is that of siblings.

    Args:
        features: Of the two.
        branching: Of two neighbors in the tree of their family: how far a third network lies off their edge, see
            `family_tree.branching`. None for a pair of which nothing else is known.
    """
    model = PAIR_MODEL if branching is None else NEIGHBOR_MODEL
    odds = np.exp([float(features.vector(parent, branching) @ np.array(model)) for parent in ("a", "b")])
    from_a, from_b = (odds / (1 + odds.sum())).tolist()
    return from_a, from_b
