"""What results of layers are computed from: samples a batch at a time, and keys by which results are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView

T = TypeVar("T")

# Several analyses of one run need the same digests.
_DIGESTS: Final[WeakKeyDictionary[DatasetView, dict[str, str]]] = WeakKeyDictionary()
# Layers whose samples are in memory at a time.
_BATCH: Final = 512


def sample_digests(dataset: DatasetView, layers: Sequence[str]) -> dict[str, str]:
    """Return a digest of the sampled kernels of each layer that has any, by layer_sha256."""
    known = _DIGESTS.setdefault(dataset, {})
    known.update(_digests(dataset, [layer for layer in layers if layer not in known]))
    return {layer: known[layer] for layer in layers if layer in known}


def _digests(dataset: DatasetView, layers: Sequence[str]) -> dict[str, str]:
    return {
        layer: hashlib.sha256(np.ascontiguousarray(kernels).data).hexdigest()
        for layer, kernels in dataset.samples(layers)
    }


def result_key(*inputs: object) -> str:
    """Return a digest of the inputs of a result: Python numbers, strings, None and lists of them."""
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:32]


def iter_samples(dataset: DatasetView, layers: Sequence[str]) -> Iterator[NDArray[np.float32] | None]:
    """Yield the sampled kernels of each layer, float32 [k, taps], None where it has none; in the order of `layers`."""
    for start in range(0, len(layers), _BATCH):
        batch = layers[start : start + _BATCH]
        samples = dict(dataset.samples(batch))
        yield from map(samples.get, batch)


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield items in batches of a size, the last one perhaps smaller, as `itertools.batched` of Python 3.12."""
    waiting = iter(items)
    while batch := tuple(islice(waiting, size)):
        yield batch
