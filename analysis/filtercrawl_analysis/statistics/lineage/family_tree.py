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

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.lineage.descent import DescentFeatures, descent_probabilities

Pair = tuple[str, str]
# Of each checkpoint: the neighbor, the probability of descent, its share in the direction from here, and `branching`.
Neighbors = Mapping[str, Sequence[tuple[str, float, float, float | None]]]


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
    edges = [edge for family in _families(squares) for edge in _edges_of_descent(family, squares, features, prior)]
    yield from _oriented(edges)


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


def _edges_of_descent(
    names: Sequence[str],
    squares: Mapping[Pair, float],
    features: Mapping[Pair, DescentFeatures],
    prior: Mapping[Pair, float],
) -> Iterator[tuple[str, str, float, float, float | None]]:
    """Yield the edges of a family's tree that are more likely of descent than not.

    Yields:
        Both ends, the probability of descent, the share of the first end as parent in it, and `branching`.
    """
    distances = np.full((len(names), len(names)), np.nan)
    for i, j in itertools.combinations(range(len(names)), 2):
        if (names[i], names[j]) in squares:
            distances[i, j] = distances[j, i] = squares[names[i], names[j]]
    for i, j in spanning_edges(distances):
        a, b = names[i], names[j]
        side = branching(distances, i, j)
        from_a, from_b = descent_probabilities(features[a, b], side)
        odds = prior.get((a, b), 1.0)
        total = from_a + from_b
        ratio = odds * from_a / (odds * from_a + from_b) if total else 0.5
        if total >= 0.5:
            yield a, b, total, ratio, side


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


def _oriented(edges: Sequence[tuple[str, str, float, float, float | None]]) -> Iterator[Descent]:
    """Yield the edges with their directions, by the most likely root of each tree."""
    around: dict[str, list[tuple[str, float, float, float | None]]] = defaultdict(list)
    for a, b, total, ratio, side in edges:
        around[a].append((b, total, ratio, side))
        around[b].append((a, total, 1 - ratio, side))
    for members in _families([(a, b) for a, b, *_ in edges]):
        likelihoods = {root: _log_likelihood(root, around) for root in members}
        best = max(members, key=lambda root: likelihoods[root])
        top = likelihoods[best]
        weights = {root: math.exp(value - top) for root, value in likelihoods.items()}
        yield from _descents(best, around, weights)


def _log_likelihood(root: str, around: Neighbors) -> float:
    """Return the logarithm of the probability of all directions that a root implies."""
    total = 0.0
    for parent, child in _walk(root, around):
        ratio = next(ratio for other, _, ratio, _ in around[parent] if other == child)
        total += math.log(max(ratio, 1e-9))
    return total


def _walk(root: str, around: Neighbors, above: str | None = None) -> Iterator[Pair]:
    """Yield the edges of a tree away from its root, without the branch of its neighbor `above`."""
    open_, seen = [root], {root, above}
    while open_:
        parent = open_.pop()
        for child, *_ in around[parent]:
            if child not in seen:
                seen.add(child)
                open_.append(child)
                yield parent, child


def _descents(root: str, around: Neighbors, weights: Mapping[str, float]) -> Iterator[Descent]:
    everything = sum(weights.values())
    for parent, child in _walk(root, around):
        below = {child, *(other for _, other in _walk(child, around, above=parent))}
        total, side = next((total, side) for other, total, _, side in around[parent] if other == child)
        # The edge has this direction for every root that does not lie below it.
        share = 1 - sum(weights[name] for name in below) / everything
        yield Descent(child=child, parent=parent, probability=total * share, branching=side)
