"""The layers of one checkpoint: their rows, and the staged file with their weights that is not yet in the dataset."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.dataset.files.layers_reader import LayersFileReader
from filtercrawl.dataset.files.layers_writer import staging
from filtercrawl.dataset.schema.arrow import ROW_NUMBERS
from filtercrawl.dataset.schema.layer_row import ConvolutionRow, IndexRow, LayerRow, layer_id_of, row_id_of
from filtercrawl.dataset.tables.samples import Samples
from filtercrawl.extraction.downsampling import is_downsampling, is_patchify
from filtercrawl.extraction.layer import Layer


@dataclass(frozen=True, kw_only=True)
class StagedLayers:
    """The layers of one checkpoint, written to a file that is not yet part of the dataset.

    Attributes:
        staged: The file; None when no layer is emitted, or where it is uploaded.
        path: Where it belongs in the dataset.
        size: Its bytes.
        sha256: Its SHA-256.
        rows: The layers in the order of the checkpoint, without the columns that its source or other checkpoints fill.
        samples: The kernels picked from each layer, with its layer_sha256.
        sketches: Rows of `sketches`, where a measure makes them.
        effective: Rows of `effective`; None without any.
        uploaded: Where a worker has put the file in the object store of the dataset, if it is not on this machine.
    """

    staged: Path | None
    path: str | None
    size: int
    sha256: str | None
    rows: tuple[IndexRow, ...]
    samples: tuple[tuple[str, Samples], ...]
    sketches: tuple[Mapping[str, Any], ...] = ()
    effective: pa.RecordBatch | None = None
    uploaded: str | None = None

    @classmethod
    def without_file(cls, rows: Iterable[IndexRow], effective: pa.RecordBatch | None = None) -> Self:
        """Describe layers whose weights are stored in another file, or that have none to be written."""
        return cls(staged=None, path=None, size=0, sha256=None, rows=tuple(rows), samples=(), effective=effective)


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
                numbers = writer.reserve((stop - start) * per_channel)
                numbers[:] = stored.read(digest, start * per_channel, stop * per_channel)
                sha256 = digest if len(spans) == 1 else hashlib.sha256(little_endian(numbers)).hexdigest()
                writer.add(layer_part(row, part, start, (stop - start, *row.shape[1:]), sha256, numbers))
    return StagedLayers(**writer.finished(model_id, source)._asdict(), rows=tuple(copied), samples=())


def discard(staged: StagedLayers | None) -> None:
    """Remove a staged file of this machine that is not needed; what was uploaded is deleted at the end of the run."""
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


def index_rows(model_id: str, source: str, layers: Sequence[Layer]) -> list[IndexRow]:
    """Return the rows of the layers of a checkpoint before their numbers are read."""
    rows = [index_row(model_id, source, layer) for layer in layers]
    places = [layer.tensor.depth.place if layer.tensor.depth else None for layer in layers]
    ids: dict[int, str] = {}
    for row, place in zip(rows, places, strict=True):
        for call in place.calls if place else ():
            ids.setdefault(call, row.layer_id)  # of a bank, the first kernel set
    return [
        row
        if place is None or place.pointwise_follower is None
        else replace(row, pointwise_follower=ids.get(place.pointwise_follower))
        for row, place in zip(rows, places, strict=True)
    ]


def index_row(model_id: str, source: str, layer: Layer) -> IndexRow:
    """Return the row of a layer before its numbers are read."""
    tensor, facts, depth = layer.tensor, layer.tensor.convolution, layer.tensor.depth
    place, stride = depth.place if depth else None, facts.stride if facts else None
    patchify = is_patchify(layer.op, layer.kernel_size, stride, depth.is_first if depth else None)
    layer_id = layer_id_of(model_id, tensor.name, tensor.bank_index)
    return IndexRow(
        model_id=model_id,
        layer_id=layer_id,
        row_id=row_id_of(layer_id, 0),
        source=source,
        layer=layer.path,
        tensor=tensor.name,
        op=layer.op,
        kernel=layer.kernel,
        kernel_size=layer.kernel_size,
        taps=layer.taps,
        shape=layer.shape,
        out_channels=layer.out_channels,
        in_channels=layer.in_channels,
        groups=layer.groups,
        depthwise=layer.depthwise,
        bank_index=tensor.bank_index,
        n_kernels=layer.n_kernels,
        part=0,
        n_parts=len(n_parts(layer.shape)),
        out_start=0,
        stored_dtype=tensor.dtype,
        stride=stride,
        padding=facts.padding if facts else None,
        dilation=facts.dilation if facts else None,
        n_calls=facts.n_calls if facts else None,
        conv_depth=depth.conv_depth if depth else None,
        conv_depth_norm=depth.conv_depth_norm if depth else None,
        n_conv_ancestors=depth.n_conv_ancestors if depth else None,
        is_first=depth.is_first if depth else None,
        is_last=depth.is_last if depth else None,
        is_patchify=patchify,
        is_stem=place.is_stem if place else None,
        is_last_spatial=place.is_last_spatial if place else None,
        is_downsampling=is_downsampling(layer.op, stride, patchify),
        depth_decile=depth.decile if depth else None,
        weight_kind=layer.weight_kind,
        structure_source=facts.source if facts else "state_dict",
        operator_verified=layer.operator_verified,
    )


def n_parts(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Split the output channels so that a part has at most 4,194,304 numbers, or is one channel."""
    step = max(1, ROW_NUMBERS // math.prod(shape[1:]))
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def fingerprint(rows: Iterable[IndexRow]) -> str | None:
    """Digest the multiset of (kernel size, layer_sha256) of the emitted layers; None where there are none."""
    lines = sorted(f"{row.kernel} {row.layer_sha256}\n" for row in rows if row.emitted)
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None
