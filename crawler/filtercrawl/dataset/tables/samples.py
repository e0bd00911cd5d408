"""Sample kernels of each layer by hash: the same ones on every machine."""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.parquet import BATCH_ROWS, ContentDefinedBoundary
from filtercrawl.dataset.schema.arrow import SAMPLES
from filtercrawl.dataset.schema.layer_row import IndexRow

LIMIT: Final = 64

# Numbers in a batch, at most: a row group of large kernels stays at 16 MiB.
_BATCH_NUMBERS: Final = 4_194_304
# Row groups of some hundred kilobytes.
_CUT: Final = ContentDefinedBoundary(key="layer_sha256", one_in=100)
_HEADER: Final = struct.Struct("<QQ")
# What all kernels of a layer have in common, named as in `index`.
_SHARED: Final = (
    "layer_id", "model_id", "source", "op", "kernel", "taps", "depthwise", "weight_kind", "task",
    "layer_sha256",
)  # fmt: skip


def sample_positions(layer_sha256: str, n_kernels: int, limit: int = LIMIT) -> list[int]:
    """Pick at most `limit` of a layer's kernels: sorted distinct indices `out * in_per_group + in`.

    All of them where there are no more. Otherwise the first distinct values of SHA-256 in counter mode, 64
    bits each, modulo `n_kernels`: the layer's bytes alone decide.
    """
    if n_kernels <= limit:
        return list(range(n_kernels))
    picked: set[int] = set()
    for number in _numbers(layer_sha256):
        if len(picked) == limit:
            break
        picked.add(number % n_kernels)
    return sorted(picked)


def _numbers(key: str) -> Iterator[int]:
    for counter in itertools.count():
        yield from struct.unpack("<4Q", hashlib.sha256(f"{key}:{counter}".encode()).digest())


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Sampled kernels of one layer.

    Attributes:
        positions: int64 [k], as `sample_positions` returns them.
        values: float32 [k, taps].
    """

    positions: NDArray[np.int64]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.positions.shape != self.values.shape[:1]:
            raise ValueError(f"{self.positions.shape} positions do not fit values of shape {self.values.shape}")

    def to_bytes(self) -> bytes:
        """Return k and taps (uint64), then positions (int64) and values (float32), all little-endian."""
        positions = self.positions.astype("<i8", copy=False).tobytes()
        return _HEADER.pack(*self.values.shape) + positions + self.values.astype("<f4", copy=False).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Undo `to_bytes`.

        Raises:
            DatasetError: The length is not what the header says.
        """
        k, taps = _HEADER.unpack_from(data) if len(data) >= _HEADER.size else (0, 0)
        start = _HEADER.size + 8 * k
        if len(data) != start + 4 * k * taps:
            raise DatasetError(
                f"stored samples are damaged: {len(data)} bytes; run `filtercrawl sync SELECTOR --rebuild`"
            )
        positions = np.frombuffer(data, "<i8", k, _HEADER.size)
        values = np.frombuffer(data, "<f4", k * taps, start)
        return cls(positions=positions.astype(np.int64), values=values.astype(np.float32).reshape(k, taps))


def sample_batches(index: Iterable[IndexRow], find: Callable[[str], Samples | None]) -> Iterator[pa.RecordBatch]:
    """Turn rows of `index` into record batches of `samples`, in the same order.

    Layers without samples are left out, and layers without a file, whose kernels belong to another checkpoint.

    Args:
        index: The layers.
        find: Returns the samples of a layer by its `layer_sha256`.
    """
    group: list[tuple[IndexRow, Samples]] = []
    rows = numbers = 0
    for row in index:
        if not row.stored or row.layer_sha256 is None:
            continue
        samples = find(row.layer_sha256)
        if samples is None or not len(samples.positions):
            continue
        group.append((row, samples))
        rows += len(samples.positions)
        numbers += samples.values.size
        if rows >= BATCH_ROWS or numbers >= _BATCH_NUMBERS or _CUT.is_boundary(row.layer_sha256):
            yield _batch(group)
            group, rows, numbers = [], 0, 0
    if group:
        yield _batch(group)


def _batch(group: list[tuple[IndexRow, Samples]]) -> pa.RecordBatch:
    # Column by column: millions of row dictionaries would take minutes.
    counts = [len(samples.positions) for _, samples in group]
    columns = {name: _spread([getattr(row, name) for row, _ in group], counts, name) for name in _SHARED}
    inputs = np.repeat([row.shape[1] for row, _ in group], counts)
    out, inner = np.divmod(np.concatenate([samples.positions for _, samples in group]), inputs)
    names = zip(columns["layer_id"].to_pylist(), out.tolist(), inner.tolist(), strict=True)
    columns["kernel_id"] = pa.array([f"{layer}:{o}:{i}" for layer, o, i in names], pa.string())
    columns["out_channel"] = pa.array(out, pa.int64())
    columns["in_channel"] = pa.array(inner, pa.int64())
    taps = np.repeat([samples.values.shape[1] for _, samples in group], counts)
    offsets = pa.array(np.concatenate([[0], np.cumsum(taps)]), pa.int32())
    values = np.concatenate([samples.values.ravel() for _, samples in group])
    columns["values"] = pa.ListArray.from_arrays(offsets, pa.array(values, pa.float32()))
    return pa.RecordBatch.from_arrays([columns[name] for name in SAMPLES.names], schema=SAMPLES)


def _spread(values: list[object], counts: list[int], name: str) -> pa.Array[Any]:
    distinct: pa.Array[Any] = pa.array(values, SAMPLES.field(name).type)
    return distinct.take(pa.array(np.repeat(np.arange(len(counts)), counts), pa.int64()))
