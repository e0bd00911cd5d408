"""Layers that were written but not yet moved into the dataset."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from filtercrawl.dataset.files.layers_reader import LayersFileReader
from filtercrawl.dataset.files.layers_writer import staging
from filtercrawl.dataset.schema.arrow import LAYERS
from filtercrawl.dataset.schema.rows import Row
from filtercrawl.dataset.tables.index_row import convolution_kind, n_parts
from filtercrawl.dataset.tables.samples import Samples


@dataclass(frozen=True, kw_only=True)
class StagedLayers:
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
    def without_file(cls, rows: Iterable[Row]) -> Self:
        """Describe layers whose weights lie elsewhere, or that have none to be written."""
        return cls(staged=None, path=None, size=0, sha256=None, rows=tuple(rows), samples=())


def copy_layers(
    model_id: str, source: str, rows: Sequence[Row], stored: LayersFileReader, folder: Path
) -> StagedLayers:
    """Write layers again whose numbers the dataset already holds, under other ids: how a duplicate is promoted."""
    emitted = sorted((row for row in rows if row["layer_sha256"] is not None), key=convolution_kind)
    with staging(folder, model_id) as writer:
        for row in emitted:
            a_channel = math.prod(row["shape"][1:])
            spans = n_parts(tuple(row["shape"]))
            row["row_group"] = writer.start(convolution_kind(row), 4 * spans[0][1] * a_channel)
            for part, (start, stop) in enumerate(spans):
                numbers = stored.read(row["layer_sha256"], start * a_channel, stop * a_channel)
                digest = row["layer_sha256"] if len(spans) == 1 else hashlib.sha256(little_endian(numbers)).hexdigest()
                here = LayerPart(number=part, start=start, shape=(stop - start, *row["shape"][1:]), sha256=digest)
                writer.add(here.row(row), numbers)
    return StagedLayers(**writer.finished(model_id, source)._asdict(), rows=tuple(rows), samples=())


def discard(staged: StagedLayers | None) -> None:
    """Remove a staged file that is not needed."""
    if staged is not None and staged.staged is not None:
        staged.staged.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class LayerPart:
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
