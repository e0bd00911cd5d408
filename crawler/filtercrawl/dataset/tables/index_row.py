"""Rows of `index` before the numbers of their layers are read, and how a layer is split into rows of `layers`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

from filtercrawl.dataset.schema.arrow import ROW_NUMBERS
from filtercrawl.dataset.schema.layer_row import IndexRow, layer_id_of, row_id_of
from filtercrawl.extraction.layer import Layer


def index_row(model_id: str, source: str, layer: Layer) -> IndexRow:
    """Return the row of a layer before its numbers are read."""
    tensor, facts, depth = layer.tensor, layer.tensor.convolution, layer.tensor.depth
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
        stride=facts.stride if facts else None,
        padding=facts.padding if facts else None,
        dilation=facts.dilation if facts else None,
        n_calls=facts.n_calls if facts else None,
        conv_depth=depth.conv_depth if depth else None,
        conv_depth_norm=depth.conv_depth_norm if depth else None,
        n_conv_ancestors=depth.n_conv_ancestors if depth else None,
        is_first=depth.is_first if depth else None,
        is_last=depth.is_last if depth else None,
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
