"""Write one checkpoint's layers as one immutable Parquet file, memory bounded by a row group."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from filtercrawl.dataset.samples import Samples, pick
from filtercrawl.files import sha256
from filtercrawl.fixed import is_fixed
from filtercrawl.layer import Layer
from filtercrawl.layer_row import Row, describe, group, parts
from filtercrawl.measure import LayerSummary, Measure, Sketcher
from filtercrawl.normalize import normalize
from filtercrawl.ranges import LocalFile
from filtercrawl.schema import LAYERS, ROW_GROUP_BYTES, SCHEMA_VERSION
from filtercrawl.stored import StoredWeights

# One file format for every reader: zstd-1 over byte_stream_split is the best of the layouts measured.
_WRITER: Final[Mapping[str, Any]] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": [name for name in LAYERS.names if name != "weight"],
    "column_encoding": None,
    "use_byte_stream_split": ["weight.list.element"],
    "write_page_index": True,
    "version": "2.6",
    "data_page_version": "1.0",
}


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What was written for one checkpoint, still out of sight.

    staged: the file, None when no layer is emitted; path: where it belongs in the dataset; rows: a row of `index` a
    layer, without the columns that other checkpoints or the source fill, in the order of the checkpoint; samples: what
    was picked from each layer, beside its layer_sha256; sketches: rows of SKETCHES, where a measure makes them.
    """

    staged: Path | None
    path: str | None
    size: int
    sha256: str | None
    rows: tuple[Row, ...]
    samples: tuple[tuple[str, Samples], ...]
    sketches: tuple[Row, ...] = ()

    @classmethod
    def unwritten(cls, rows: Iterable[Row]) -> Self:
        """Describe layers whose weights lie elsewhere, or that have none to be written."""
        return cls(staged=None, path=None, size=0, sha256=None, rows=tuple(rows), samples=())


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """How layers are made: where files are staged, on which device, with which measures.

    pause is called between layers; it may raise to end the work on a large checkpoint soon.
    """

    staging: Path
    device: torch.device
    measures: tuple[Measure, ...]
    pause: Callable[[], None] = lambda: None


def write(model_id: str, source: str, layers: Iterable[Layer], workshop: Workshop) -> Shard:
    """Normalize, hash, measure and write the layers of one checkpoint; raises CheckpointError."""
    described = [(describe(model_id, source, layer), layer) for layer in layers]
    rows = [row for row, _ in described]
    emitted = [(row, layer) for row, layer in described if layer.left_out is None]
    emitted.sort(key=lambda item: group(item[0]))
    samples: list[tuple[str, Samples]] = []
    sketches: list[Row] = []
    if not emitted:
        return Shard.unwritten(rows)
    with staging(workshop.staging, model_id) as writer:
        for row, layer in emitted:
            workshop.pause()
            row["row_group"] = writer.start(group(row), 4 * parts(layer.shape)[0][1] * layer.numbers_a_channel())
            samples.append(_write_layer(layer, row, writer, workshop, sketches))
    return replace(writer.finished(model_id, source, rows, samples), sketches=tuple(sketches))


def rewrite(model_id: str, source: str, rows: Sequence[Row], stored: StoredWeights, folder: Path) -> Shard:
    """Write layers again whose numbers the dataset already holds, under other ids: how a duplicate is promoted."""
    emitted = sorted((row for row in rows if row["layer_sha256"] is not None), key=group)
    with staging(folder, model_id) as writer:
        for row in emitted:
            a_channel = math.prod(row["shape"][1:])
            spans = parts(tuple(row["shape"]))
            row["row_group"] = writer.start(group(row), 4 * spans[0][1] * a_channel)
            for part, (start, stop) in enumerate(spans):
                numbers = stored.read(row["layer_sha256"], start * a_channel, stop * a_channel)
                digest = row["layer_sha256"] if len(spans) == 1 else hashlib.sha256(little_endian(numbers)).hexdigest()
                here = Part(number=part, start=start, shape=(stop - start, *row["shape"][1:]), sha256=digest)
                writer.add(here.row(row), numbers)
    return writer.finished(model_id, source, rows, [])


def discard(shard: Shard | None) -> None:
    """Remove a staged file that is not needed."""
    if shard is not None and shard.staged is not None:
        shard.staged.unlink(missing_ok=True)


def slug(name: str) -> str:
    """Turn a name into 1 to 80 characters of `[a-z0-9.-]` that start with a letter or digit."""
    words = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip(".-")
    return words[:80].strip(".-") or "checkpoint"


def _write_layer(
    layer: Layer, row: Row, writer: _Writer, workshop: Workshop, sketches: list[Row]
) -> tuple[str, Samples]:
    spans = parts(layer.shape)
    # A layer's hash stands in each of its rows: a layer of one part is read once, a longer one twice.
    only = normalize(layer, *spans[0], workshop.device) if len(spans) == 1 else None

    def weights() -> Iterator[tuple[int, torch.Tensor]]:
        for start, stop in spans:
            yield start, only if only is not None else normalize(layer, start, stop, workshop.device)

    whole, peak, n_nonfinite = hashlib.sha256(), 0.0, 0
    found: list[Part] = []
    for number, (start, weight) in enumerate(weights()):
        data = little_endian(weight.cpu().numpy())
        whole.update(data)
        digest = (whole if len(spans) == 1 else hashlib.sha256(data)).hexdigest()
        found.append(Part(number=number, start=start, shape=tuple(weight.shape), sha256=digest))
        largest, bad = extremes(weight)
        peak, n_nonfinite = max(peak, largest), n_nonfinite + bad
    row["layer_sha256"] = row["weight_sha256"] = whole.hexdigest()
    row["n_nonfinite"] = n_nonfinite
    summary = LayerSummary(shape=layer.shape, n_kernels=layer.n_kernels, taps=layer.taps, max_abs=peak)
    running = [measure.start(summary) for measure in workshop.measures]
    chosen = np.asarray(pick(row["layer_sha256"], layer.n_kernels), np.int64)
    taken: list[NDArray[np.float32]] = []
    for part, (start, weight) in zip(found, weights(), strict=True):
        for accumulator in running:
            accumulator.update(weight)
        numbers = weight.cpu().contiguous().view(-1, layer.taps).numpy()
        here = chosen[(chosen >= start * layer.shape[1]) & (chosen < (start + len(weight)) * layer.shape[1])]
        taken.append(numbers[here - start * layer.shape[1]])
        writer.add(part.row(row), numbers.reshape(-1))
    for accumulator in running:
        row.update(accumulator.finish())
    sketcher = next((accumulator for accumulator in running if isinstance(accumulator, Sketcher)), None)
    if sketcher is not None:
        sketches.append({**sketcher.sketch(), "layer_sha256": row["layer_sha256"]})
    samples = Samples(positions=chosen, values=np.concatenate(taken))
    if row["weight_kind"] == "learned" and is_fixed(layer, samples.values):
        row["weight_kind"] = "fixed"
    return row["layer_sha256"], samples


@dataclass(frozen=True, kw_only=True)
class Part:
    """Consecutive output channels of a layer, one row of `layers`; shape: theirs; sha256: of their float32 bytes."""

    number: int
    start: int
    shape: tuple[int, ...]
    sha256: str

    def row(self, layer: Row) -> Row:
        """Return the row of `layers`, without its weight, from that of `index`."""
        return {name: layer[name] for name in LAYERS.names if name != "weight"} | {
            "row_id": f"{layer['layer_id']}#part{self.number}",
            "part": self.number,
            "out_start": self.start,
            "shape": list(self.shape),
            "n_kernels": self.shape[0] * self.shape[1],
            "weight_sha256": self.sha256,
        }


def little_endian(weight: NDArray[np.float32]) -> memoryview:
    """The float32 bytes of a weight, which all hashes are of."""
    return np.ascontiguousarray(weight, "<f4").data.cast("B")


def extremes(weight: torch.Tensor) -> tuple[float, int]:
    """Return the largest finite magnitude and the number of values that are not finite."""
    low, high = torch.aminmax(weight)
    peak = max(abs(float(low)), abs(float(high)))
    if math.isfinite(peak):  # a NaN passes through aminmax: one cheap look clears most layers
        return peak, 0
    finite = torch.isfinite(weight)
    magnitudes = weight[finite].abs()
    return float(magnitudes.max()) if magnitudes.numel() else 0.0, int((~finite).sum())


@contextmanager
def staging(folder: Path, model_id: str) -> Iterator[_Writer]:
    """Open a writer on a file out of sight, which is gone again if anything goes wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{hashlib.sha256(model_id.encode()).hexdigest()[:32]}.parquet"
    try:
        with _Writer(path) as writer:
            yield writer
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class _Writer:
    """Collects rows into row groups of one (kernel, depthwise) and hashes what they say."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[Row] = []
        self._weights: list[NDArray[np.float32]] = []
        self._bytes = 0
        self._written = 0
        self._key: tuple[str, int] | None = None
        self.digest = hashlib.sha256(f"filtercrawl layers {SCHEMA_VERSION}\n".encode())

    def __enter__(self) -> _Writer:
        self._file = self._path.open("wb")
        self._parquet = pq.ParquetWriter(self._file, LAYERS, **_WRITER)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
            self._parquet.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def start(self, key: tuple[str, int], upcoming: int) -> int:
        """Begin a layer whose first row has `upcoming` bytes; return the row group that row will lie in."""
        if self._key != key or self._bytes + upcoming > ROW_GROUP_BYTES:
            self._flush()
        self._key = key
        return self._written

    def add(self, row: Row, numbers: NDArray[np.float32]) -> None:
        if self._rows and self._bytes + numbers.nbytes > ROW_GROUP_BYTES:
            self._flush()
        self._rows.append(row)
        self._weights.append(numbers)
        self._bytes += numbers.nbytes
        self.digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")

    def finished(
        self, model_id: str, source: str, rows: Iterable[Row], samples: Iterable[tuple[str, Samples]]
    ) -> Shard:
        """Describe the closed file."""
        digest = self.digest.hexdigest()[:32]
        name = f"{slug(model_id.partition('/')[2])}-{digest}.parquet"
        with LocalFile(self._path) as file:
            return Shard(
                staged=self._path,
                path=f"data/layers/{source}/{digest[:2]}/{name}",
                size=file.size,
                sha256=sha256(file),
                rows=tuple(rows),
                samples=tuple(samples),
            )

    def _flush(self) -> None:
        if not self._rows:
            return
        ends = np.cumsum([0, *(len(weight) for weight in self._weights)], dtype=np.int64)
        numbers = self._weights[0] if len(self._weights) == 1 else np.concatenate(self._weights)
        self._weights.clear()
        weight = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(numbers))
        facts = pa.Table.from_pylist(self._rows, schema=LAYERS.remove(LAYERS.get_field_index("weight")))
        columns = [facts[name].combine_chunks() if name != "weight" else weight for name in LAYERS.names]
        self._parquet.write_table(pa.Table.from_arrays(columns, schema=LAYERS), row_group_size=len(self._rows))
        # Writing takes several times a row group; what the pool keeps of it would lie beside the next layer's measures.
        del numbers, weight, columns
        pa.default_memory_pool().release_unused()
        self._rows.clear()
        self._bytes = 0
        self._written += 1
