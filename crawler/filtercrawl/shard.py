"""Normalize, hash, measure and write one checkpoint's layers, memory bounded by a row group."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.dataset.samples import Samples, pick
from filtercrawl.fixed import is_fixed
from filtercrawl.layer import Layer
from filtercrawl.layer_row import Row, describe, group, parts
from filtercrawl.layers_file import LayersFile, staging
from filtercrawl.measure import LayerSummary, Measure, Sketcher
from filtercrawl.normalize import normalize
from filtercrawl.schema import INDEX, LAYERS
from filtercrawl.stored import StoredWeights
from filtercrawl.validation import check_row


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
    for row in rows:
        check_row(row["layer_id"], row, INDEX)
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
            check_row(row["layer_id"], row, INDEX)  # again, for what the measures add
    return Shard(
        **writer.finished(model_id, source)._asdict(),
        rows=tuple(rows),
        samples=tuple(samples),
        sketches=tuple(sketches),
    )


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
    return Shard(**writer.finished(model_id, source)._asdict(), rows=tuple(rows), samples=())


def discard(shard: Shard | None) -> None:
    """Remove a staged file that is not needed."""
    if shard is not None and shard.staged is not None:
        shard.staged.unlink(missing_ok=True)


def _write_layer(
    layer: Layer, row: Row, writer: LayersFile, workshop: Workshop, sketches: list[Row]
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
    summary = LayerSummary(
        shape=layer.shape,
        n_kernels=layer.n_kernels,
        taps=layer.taps,
        max_abs=peak,
        filters_known=layer.filters_known,
    )
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
