"""Layers that were written but not yet moved into the dataset."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from filtercrawl.dataset.files.layers_reader import LayersFileReader
from filtercrawl.dataset.files.layers_writer import staging
from filtercrawl.dataset.schema.layer_row import ConvolutionRow, IndexRow, LayerRow, row_id_of
from filtercrawl.dataset.tables.index_row import n_parts
from filtercrawl.dataset.tables.samples import Samples


@dataclass(frozen=True, kw_only=True)
class StagedLayers:
    """The layers of one checkpoint, written to a file that is not yet part of the dataset.

    Attributes:
        staged: The file; None when no layer is emitted.
        path: Where it belongs in the dataset.
        size: Its bytes.
        sha256: Its SHA-256.
        rows: The layers in the order of the checkpoint, without the columns that its source or other checkpoints fill.
        samples: The kernels picked from each layer, with its layer_sha256.
        sketches: Rows of `sketches`, where a measure makes them.
    """

    staged: Path | None
    path: str | None
    size: int
    sha256: str | None
    rows: tuple[IndexRow, ...]
    samples: tuple[tuple[str, Samples], ...]
    sketches: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def without_file(cls, rows: Iterable[IndexRow]) -> Self:
        """Describe layers whose weights are stored in another file, or that have none to be written."""
        return cls(staged=None, path=None, size=0, sha256=None, rows=tuple(rows), samples=())


def copy_layers(
    model_id: str, source: str, rows: Sequence[IndexRow], stored: LayersFileReader, folder: Path
) -> StagedLayers:
    """Write layers whose numbers the dataset already stores once more, under other ids.

    Args:
        model_id: The checkpoint that becomes the owner of the weights.
        source: Its source.
        rows: Its layers.
        stored: The layers file of the checkpoint that stored them so far.
        folder: Where the new file is staged.
    """
    copied = list(rows)
    order = sorted((i for i, row in enumerate(rows) if row.emitted), key=lambda i: rows[i].convolution_kind)
    with staging(folder, model_id) as writer:
        for i in order:
            row, per_channel = rows[i], math.prod(rows[i].shape[1:])
            spans, digest = n_parts(row.shape), row.layer_sha256 or ""
            copied[i] = replace(row, row_group=writer.start(row.convolution_kind, 4 * spans[0][1] * per_channel))
            for part, (start, stop) in enumerate(spans):
                numbers = stored.read(digest, start * per_channel, stop * per_channel)
                sha256 = digest if len(spans) == 1 else hashlib.sha256(little_endian(numbers)).hexdigest()
                writer.add(layer_part(row, part, start, (stop - start, *row.shape[1:]), sha256, numbers))
    return StagedLayers(**writer.finished(model_id, source)._asdict(), rows=tuple(copied), samples=())


def discard(staged: StagedLayers | None) -> None:
    """Remove a staged file that is not needed."""
    if staged is not None and staged.staged is not None:
        staged.staged.unlink(missing_ok=True)


def layer_part(
    layer: IndexRow, part: int, out_start: int, shape: tuple[int, ...], sha256: str, numbers: NDArray[np.float32]
) -> LayerRow:
    """Return the row of `layers` of consecutive output channels of a layer.

    Args:
        layer: The layer, whose bytes were hashed.
        part: The number of the part, from 0.
        out_start: Its first output channel.
        shape: Its shape, `[out, in/groups, *kernel_size]`.
        sha256: The SHA-256 of its little-endian float32 bytes.
        numbers: Its weight, flat, row-major.
    """
    assert layer.layer_sha256 is not None
    shared = {name: getattr(layer, name) for name in ConvolutionRow.DESCRIPTIONS}
    own = {
        "row_id": row_id_of(layer.layer_id, part), "part": part, "out_start": out_start, "shape": shape,
        "n_kernels": shape[0] * shape[1],
    }  # fmt: skip
    return LayerRow(**{**shared, **own}, weight_sha256=sha256, layer_sha256=layer.layer_sha256, weight=numbers)


def little_endian(weight: NDArray[np.float32]) -> memoryview:
    """The float32 bytes of a weight, which all hashes are of."""
    return np.ascontiguousarray(weight, "<f4").data.cast("B")
