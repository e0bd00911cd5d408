"""Rows of `effective`: how the weight that a network convolves with follows from the stored ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from filtercrawl.dataset.schema.column import TableRow, column, column_like, table_row
from filtercrawl.dataset.schema.layer_row import IndexRow, LayerRow

_floats: Final = pa.list_(pa.float32())
_doubles: Final = pa.list_(pa.float64())
_sizes: Final = pa.list_(pa.int64())

# A stored layer as a part of an effective weight: `raw * scale + shift`, placed into the center. Scale and shift are
# flat, with one size for each axis of the weight: 1, or that of the weight. Null for 1, 0 and no dilation.
TERM: Final = pa.struct(
    [
        pa.field("layer_id", pa.string(), nullable=False),
        pa.field("layer_sha256", pa.string(), nullable=False),
        pa.field("scale", _doubles),
        pa.field("scale_shape", _sizes),
        pa.field("shift", _doubles),
        pa.field("shift_shape", _sizes),
        pa.field("dilation", pa.list_(pa.int32())),
    ]
)


@table_row
class EffectiveRow(TableRow):
    """One layer that is not convolved with as it is stored, or that a known batch normalization follows.

    The effective weight is the sum of `place(raw * scale + shift)` over the terms and of `place(rest)`, times
    `norm_scale / sqrt(norm_variance + norm_eps)`, one number an output channel, in float64 and rounded once. `place`
    puts a smaller or dilated kernel into the center.
    """

    layer_id: str = column_like(IndexRow, "layer_id")
    model_id: str = column_like(IndexRow, "model_id")
    source: str = column_like(IndexRow, "source")
    layer_sha256: str = column_like(LayerRow, "layer_sha256")
    kernel: str = column_like(IndexRow, "kernel")
    shape: tuple[int, ...] = column(_sizes, "shape of the effective weight, `[out, in/groups, *kernel_size]`")
    effective_sha256: str = column(
        pa.string(), "SHA-256 of what the effective weight is computed from; layers with the same have the same weight"
    )
    steps: tuple[str, ...] = column(
        pa.list_(pa.string()),
        "what is done, in this order: weight_norm, spectral_norm, weight_standardization, branches, batch_norm",
    )
    terms: tuple[Mapping[str, Any], ...] = column(
        pa.list_(TERM), "the stored layers that take part, this one first: each `raw * scale + shift`"
    )
    rest: Any = column(
        pa.large_list(pa.float32()),
        "sum of the parts that are no stored layers, such as pointwise and identity branches; flat, row-major",
        default=None,
    )
    rest_kernel_size: tuple[int, ...] | None = column(pa.list_(pa.int32()), "kernel size of `rest`", default=None)
    bias: tuple[float, ...] | None = column(
        _doubles, "bias of the convolution before the normalization; null for 0", default=None
    )
    norm: str | None = column(pa.string(), "path of the batch normalization that follows", default=None)
    norm_evidence: str | None = column(
        pa.string(), "how it was found: graph (of the network or the file) or names (and sizes)", default=None
    )
    norm_eps: float | None = column(
        pa.float64(), "what it adds to the variance; null where that is not stated: 1e-5 is used", default=None
    )
    norm_scale: tuple[float, ...] | None = column(_floats, "its weight, one number a channel; null for 1", default=None)
    norm_offset: tuple[float, ...] | None = column(_floats, "its bias, one number a channel; null for 0", default=None)
    norm_mean: tuple[float, ...] | None = column(_floats, "its running mean, one number a channel", default=None)
    norm_variance: tuple[float, ...] | None = column(
        _floats, "its running variance, one number a channel", default=None
    )
    eps_assumed: bool = column(pa.bool_(), "whether an epsilon of 1e-5 was assumed, for the norm or for a branch")
