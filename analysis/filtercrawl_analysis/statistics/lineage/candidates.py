"""Which pairs of checkpoints are worth a comparison: found without comparing all pairs of weights."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.statistics.lineage.models import ModelLayer, read_parts

Pair = tuple[str, str]
Models = Mapping[str, Sequence[ModelLayer]]

# Layers of each model that are read for the search, and how many weights they may have.
_MARKERS: Final = 2
_MIN_MARKER, _MAX_MARKER = 500, 2**20
# Weights of a marker that are compared, and their correlation from which on a pair is a candidate: independent layers
# of so many weights rarely reach it, and what does is compared in full.
_POSITIONS: Final = 4096
_MIN_CORRELATION: Final = 0.12
# Markers that are read at a time.
_READ: Final = 64
# Rows of a block of the matrix of correlations.
_BLOCK: Final = 1024
# Relative difference of norms, L1 and L2, of a layer and its permuted copy, maybe in half precision.
_NORMS: Final = 1e-3
# Models that share a tensor, up to which all pairs of them are candidates; of more, each with the first.
_MAX_GROUP: Final = 32


def candidate_pairs(dataset: DatasetView, models: Models, stated: Iterable[Pair] = ()) -> list[Pair]:
    """Return the pairs of models that may be related, sorted, the smaller model_id first.

    Pairs that share a tensor, whose marker layers are correlated, or whose layers have equal norms, as those of
    permuted copies have. Markers are two layers of each model, of the shapes that most models have: only these are
    read, and compared by matrix products within one shape.

    Args:
        dataset: The dataset.
        models: Layers by model_id.
        stated: Further pairs, of models that are there.
    """
    pairs = {*_sharing(models), *_equal_norms(models), *_correlated(dataset, models)}
    pairs |= {(min(pair), max(pair)) for pair in stated}
    return sorted(pairs)


def _sharing(models: Models) -> Iterator[Pair]:
    """Yield pairs with a tensor in common."""
    owners: dict[str, set[str]] = defaultdict(set)
    for name, layers in models.items():
        for layer in layers:
            owners[layer.sha256].add(name)
    for group in owners.values():
        yield from _pairs_of(sorted(group))


def _pairs_of(names: Sequence[str]) -> Iterator[Pair]:
    if len(names) <= _MAX_GROUP:
        yield from itertools.combinations(names, 2)
    else:
        yield from ((names[0], other) for other in names[1:])


def _equal_norms(models: Models) -> Iterator[Pair]:
    """Yield pairs of which at least half of the layers have equal shapes and norms."""
    by_shape: dict[tuple[int, ...], list[tuple[float, float, str]]] = defaultdict(list)
    for name, layers in models.items():
        for layer in layers:
            if layer.norms is not None and layer.norms[1] > 0:
                by_shape[layer.shape].append((layer.norms[1], layer.norms[0], name))
    votes = Counter(itertools.chain.from_iterable(map(_neighbors, by_shape.values())))
    yield from ((a, b) for (a, b), count in votes.items() if 2 * count >= min(len(models[a]), len(models[b])))


def _neighbors(entries: list[tuple[float, float, str]]) -> Iterator[Pair]:
    """Yield the pairs of models with equal norms, of layers of one shape by their L2 norm, L1 norm and model."""
    entries.sort()
    for i, (l2, l1, name) in enumerate(entries):
        for other_l2, other_l1, other in entries[i + 1 : i + 1 + _MAX_GROUP]:
            if other_l2 > l2 * (1 + _NORMS):
                break
            if other != name and abs(other_l1 - l1) <= _NORMS * l1:
                yield min(name, other), max(name, other)


def _correlated(dataset: DatasetView, models: Models) -> Iterator[Pair]:
    """Yield pairs whose marker layers are correlated, position by position."""
    by_shape: dict[tuple[int, ...], list[tuple[str, ModelLayer]]] = defaultdict(list)
    for name, layers in _markers(models).items():
        for layer in layers:
            by_shape[layer.shape].append((name, layer))
    for number, (_, entries) in enumerate(sorted(by_shape.items())):
        dataset.progress(number, len(by_shape), "signatures of models")
        if len(entries) > 1:
            yield from _pairs_above(dataset, entries)


def _markers(models: Models) -> dict[str, list[ModelLayer]]:
    """Return the markers of each model: the first layers of the shapes that most models have, larger ones first."""
    counts: Counter[tuple[int, ...]] = Counter()
    first: dict[str, dict[tuple[int, ...], ModelLayer]] = {}
    for name, layers in models.items():
        usable = [layer for layer in layers if _MIN_MARKER <= layer.size <= _MAX_MARKER and layer.shape[0] > 1]
        first[name] = {layer.shape: layer for layer in reversed(usable)}
        counts.update(first[name].keys())
    return {
        name: sorted(shapes.values(), key=lambda layer: (-counts[layer.shape], -layer.size, layer.shape))[:_MARKERS]
        for name, shapes in first.items()
    }


def _pairs_above(dataset: DatasetView, entries: Sequence[tuple[str, ModelLayer]]) -> Iterator[Pair]:
    signatures = np.zeros((len(entries), _POSITIONS), np.float32)
    distinct = {layer.sha256: layer for _, layer in entries}
    rows = defaultdict(list)
    for row, (_, layer) in enumerate(entries):
        rows[layer.sha256].append(row)
    layers = list(distinct.values())
    for start in range(0, len(layers), _READ):
        for digest, part in read_parts(dataset, layers[start : start + _READ]).items():
            signature = _signature(part)
            signatures[rows[digest], : len(signature)] = signature
    for start in range(0, len(entries), _BLOCK):
        correlations = signatures[start : start + _BLOCK] @ signatures.T
        for i, j in np.argwhere(correlations >= _MIN_CORRELATION).tolist():
            if start + i < j and entries[start + i][0] != entries[j][0]:
                a, b = entries[start + i][0], entries[j][0]
                yield min(a, b), max(a, b)


def _signature(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return some weights of a layer, each less the mean at its place in the filters, with a norm of 1."""
    filters = np.nan_to_num(weights.reshape(len(weights), -1), posinf=0, neginf=0)
    flat = (filters - filters.mean(0)).ravel()
    chosen: NDArray[np.float32] = flat[np.linspace(0, len(flat) - 1, min(len(flat), _POSITIONS)).astype(np.int64)]
    norm = float(np.linalg.norm(chosen))
    return chosen / norm if norm else chosen
