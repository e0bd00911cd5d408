"""The tree of checkpoints that were trained from one another, from the distances of all of them.

Steps of training are nearly orthogonal to each other, so that squared distances add up along a path of descent: they
form a tree. Networks that were trained from one initialization are leaves of a branching that no checkpoint stands for.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.lineage.descent import DescentFeatures, descent_probabilities

Pair = tuple[str, str]
# Of each checkpoint the neighbors, each with the share of descent from here and the edge.
Neighbors = dict[str, list[tuple[str, float, "_TreeEdge"]]]

# Logarithm of the odds by which a checkpoint with a sibling outside of its tree is rather the root of it: the common
# start is an ancestor of all of the tree, so that the way to it leads over the root.
_OUTSIDE: Final = math.log(20)


@dataclass(frozen=True, kw_only=True)
class Descent:
    """One edge of a tree: a checkpoint that was trained from another one.

    Attributes:
        child: The later checkpoint.
        parent: The earlier one.
        probability: That it is so.
        branching: See `branching`; None for a family of two.
    """

    child: str
    parent: str
    probability: float
    branching: float | None


def family_trees(
    squares: Mapping[Pair, float], features: Mapping[Pair, DescentFeatures], prior: Mapping[Pair, float]
) -> Iterator[Descent]:
    """Yield the edges along which checkpoints descend from each other, each child once.

    Of each family, the checkpoints that are connected by relations, the minimum spanning tree of squared distances is
    taken. Edges are cut that more likely join siblings. The direction of the others follows from the root of their
    tree: each checkpoint is it with a probability in proportion to that of all directions that it implies.

    Args:
        squares: Squared distances of related checkpoints, in one scale for each family; the smaller name first.
        features: Of the same pairs.
        prior: Odds, of some pairs, that the second descends from the first rather than the other way round: of dates.
    """
    edges = [edge for family in _families(squares) for edge in _tree_edges(family, squares, features, prior)]
    yield from _oriented(edges)


@dataclass(frozen=True, kw_only=True)
class _TreeEdge:
    """Two neighbors in a tree.

    Attributes:
        a: The smaller name.
        b: The other one.
        descent: Probability that one of them descends from the other.
        share: The share of that where it is b that descends from a.
        branching: See `branching`.
    """

    a: str
    b: str
    descent: float
    share: float
    branching: float | None


def _families(pairs: Collection[Pair]) -> list[list[str]]:
    """Return the groups of names that pairs connect, each sorted."""
    names = sorted({name for pair in pairs for name in pair})
    place = {name: i for i, name in enumerate(names)}
    ends = np.array([[place[a], place[b]] for a, b in pairs]).reshape(-1, 2).T
    links = csr_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), (len(names), len(names)))
    count, labels = connected_components(links, directed=False)
    groups: list[list[str]] = [[] for _ in range(count)]
    for name, label in zip(names, labels.tolist(), strict=True):
        groups[label].append(name)
    return groups


def _tree_edges(
    names: Sequence[str],
    squares: Mapping[Pair, float],
    features: Mapping[Pair, DescentFeatures],
    prior: Mapping[Pair, float],
) -> Iterator[_TreeEdge]:
    """Yield the edges of the tree of one family."""
    distances = np.full((len(names), len(names)), np.nan)
    for i, j in itertools.combinations(range(len(names)), 2):
        if (names[i], names[j]) in squares:
            distances[i, j] = distances[j, i] = squares[names[i], names[j]]
    for i, j in spanning_edges(distances):
        a, b = names[i], names[j]
        side = branching(distances, i, j)
        from_a, from_b = descent_probabilities(features[a, b], side)
        odds = prior.get((a, b), 1.0)
        share = odds * from_a / (odds * from_a + from_b) if from_a + from_b else 0.5
        yield _TreeEdge(a=a, b=b, descent=from_a + from_b, share=share, branching=side)


def branching(distances: Array, a: int, b: int) -> float | None:
    """Return how far a third checkpoint branches off between two neighbors: 0 where one descends from the other.

    The cosine, at each of the two, of the directions to the other one and to the third; the smaller of both, and the
    largest over all third ones. Directions from an ancestor to two of its descendants, or through a checkpoint to its
    ancestor and its descendant, are orthogonal.

    Args:
        distances: Squared distances, NaN where unknown.
        a: Position of the first.
        b: Position of the second.

    Returns:
        0 to 1; None if no third one is related to both.
    """
    edge, at_a, at_b = distances[a, b], distances[a], distances[b]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine_a = (edge + at_a - at_b) / (2 * np.sqrt(edge * at_a))
        cosine_b = (edge + at_b - at_a) / (2 * np.sqrt(edge * at_b))
    smaller = np.minimum(cosine_a, cosine_b)
    smaller[[a, b]] = np.nan
    known = smaller[np.isfinite(smaller)]
    return float(np.clip(known.max(), 0, 1)) if known.size else None


def spanning_edges(distances: Array) -> Iterator[tuple[int, int]]:
    """Yield the edges of the minimum spanning tree, the smaller position first; distances are NaN where unknown."""
    # Zeros are no edges to scipy, and equal checkpoints are none of a tree anyway.
    known = np.where(np.isfinite(distances), np.maximum(distances, 1e-12), 0)
    rows, columns = minimum_spanning_tree(csr_matrix(np.triu(known, 1))).nonzero()
    yield from zip(rows.tolist(), columns.tolist(), strict=True)


def _oriented(edges: Sequence[_TreeEdge]) -> Iterator[Descent]:
    """Yield the edges of descent with their directions, by the most likely root of each tree."""
    kept = [edge for edge in edges if edge.descent >= 0.5]
    outside = {name for edge in edges if edge.descent < 0.5 for name in (edge.a, edge.b)}
    neighbors: Neighbors = defaultdict(list)
    for edge in kept:
        neighbors[edge.a].append((edge.b, edge.share, edge))
        neighbors[edge.b].append((edge.a, 1 - edge.share, edge))
    for members in _families([(edge.a, edge.b) for edge in kept]):
        likelihoods = {
            root: _log_likelihood(root, neighbors) + (_OUTSIDE if root in outside else 0.0) for root in members
        }
        best = max(members, key=lambda root: likelihoods[root])
        top = likelihoods[best]
        weights = {root: math.exp(value - top) for root, value in likelihoods.items()}
        yield from _descents(best, neighbors, weights)


def _log_likelihood(root: str, neighbors: Neighbors) -> float:
    """Return the logarithm of the probability of all directions that a root implies."""
    return sum(math.log(max(share, 1e-9)) for _, _, share, _ in _walk(root, neighbors))


def _walk(root: str, neighbors: Neighbors, above: str | None = None) -> Iterator[tuple[str, str, float, _TreeEdge]]:
    """Yield parent, child, share and edge away from a root, without the branch of its neighbor `above`."""
    waiting, seen = [root], {root, above}
    while waiting:
        parent = waiting.pop()
        for child, share, edge in neighbors[parent]:
            if child not in seen:
                seen.add(child)
                waiting.append(child)
                yield parent, child, share, edge


def _descents(root: str, neighbors: Neighbors, weights: Mapping[str, float]) -> Iterator[Descent]:
    """Yield the edges of a tree, away from its root."""
    everything = sum(weights.values())
    for parent, child, _, edge in _walk(root, neighbors):
        below = {child, *(other for _, other, *_ in _walk(child, neighbors, above=parent))}
        # The edge has this direction for every root that does not lie below it.
        share = 1 - sum(weights[name] for name in below) / everything
        yield Descent(child=child, parent=parent, probability=edge.descent * share, branching=edge.branching)
