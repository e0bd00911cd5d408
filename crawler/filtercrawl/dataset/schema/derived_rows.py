"""Rows of the tables that are derived from layers: `samples`, `sketches` and `preview`."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from filtercrawl.dataset.schema.column import TableRow, column, column_like, table_row
from filtercrawl.dataset.schema.layer_row import IndexRow, LayerRow

_numbers: Final = pa.list_(pa.float64())


@table_row
class SampleRow(TableRow):
    """One kernel of a layer; at most 64 of each layer, picked by hash."""

    kernel_id: str = column(pa.string(), "`layer_id:out:in`, by channel")
    layer_id: str = column_like(IndexRow, "layer_id")
    model_id: str = column_like(IndexRow, "model_id")
    source: str = column_like(IndexRow, "source")
    op: str = column_like(IndexRow, "op")
    kernel: str = column_like(IndexRow, "kernel")
    taps: int = column_like(IndexRow, "taps")
    depthwise: bool | None = column_like(IndexRow, "depthwise", default=None)
    weight_kind: str = column_like(IndexRow, "weight_kind")
    task: str | None = column_like(IndexRow, "task", default=None)
    layer_sha256: str = column_like(LayerRow, "layer_sha256")
    out_channel: int = column(pa.int64(), "output channel of the kernel")
    in_channel: int = column(pa.int64(), "input channel of the kernel within its group")
    values: tuple[float, ...] = column(
        pa.list_(pa.float32()), "the kernel's numbers, float32, row-major, `taps` of them"
    )


@table_row
class SketchRow(TableRow):
    """Statistics of a layer that merge with those of others: they analyze any group of layers without its weights.

    The key is (layer_sha256, kernel): the same bytes are other kernels where the kernel size is another. Sums are
    float64 and over the kernels without NaN and infinities, except for `power_sums` and `norm_l1`, which are over all
    finite weights. `raw` is of the weights as stored, `scaled` of each kernel in float16 divided by its largest
    magnitude, as in CNN Filter DB. These four, and the histogram, are null where a layer has too many taps for them.
    """

    layer_sha256: str = column_like(LayerRow, "layer_sha256")
    kernel: str = column_like(IndexRow, "kernel")
    taps: int = column_like(IndexRow, "taps")
    version: int = column(pa.int32(), "version of the method by which sketches are made")
    n_kernels: int = column(pa.int64(), "kernels of the layer")
    n_finite: int = column(pa.int64(), "kernels without NaN and infinities; the sums below are over these")
    n_dead: int = column(pa.int64(), "kernels below a hundredth of the layer's largest magnitude")
    n_zero: int = column(pa.int64(), "kernels of zeros alone")
    max_abs: float = column(pa.float64(), "largest finite magnitude")
    power_sums: tuple[float, ...] = column(_numbers, "number of finite weights, sums of w, w^2, w^3 and w^4")
    norm_l1: float = column(pa.float64(), "sum of the magnitudes of finite weights")
    radial_energy: tuple[float, ...] = column(_numbers, "energy by the frequency's distance from zero")
    raw_mean: tuple[float, ...] | None = column(_numbers, "mean of the kernels as stored, `taps` numbers", default=None)
    raw_scatter: tuple[float, ...] | None = column(
        _numbers, "sum of the outer products about `raw_mean`, upper triangle row by row", default=None
    )
    scaled_mean: tuple[float, ...] | None = column(
        _numbers, "mean of the kernels divided by their largest magnitude", default=None
    )
    scaled_scatter: tuple[float, ...] | None = column(
        _numbers, "sum of the outer products about `scaled_mean`, upper triangle row by row", default=None
    )
    histogram: tuple[int, ...] | None = column(
        pa.list_(pa.int64()), "counts of the scaled kernels' coefficients along the basis, bin by bin", default=None
    )


@table_row
class PreviewRow(TableRow):
    """One layer with a picture of its kernels."""

    layer_id: str = column_like(IndexRow, "layer_id")
    # As the Image feature of `datasets` stores it.
    picture: dict[str, object] | None = column(
        pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())]),
        "PNG of its first kernels",
        default=None,
    )
    model_id: str = column_like(IndexRow, "model_id")
    source: str = column_like(IndexRow, "source")
    op: str = column_like(IndexRow, "op")
    kernel: str = column_like(IndexRow, "kernel")
    shape: tuple[int, ...] = column(
        pa.list_(pa.int64()), "shape of the layer's weight, `[out, in/groups, *kernel_size]`"
    )
    depthwise: bool | None = column_like(IndexRow, "depthwise", default=None)
    n_kernels: int = column(pa.int64(), "kernels of the layer")
    weight_kind: str = column_like(IndexRow, "weight_kind")
    task: str | None = column_like(IndexRow, "task", default=None)
    license: str | None = column_like(IndexRow, "license", default=None)
    sparsity: float | None = column_like(IndexRow, "sparsity", default=None)
    variance_entropy: float | None = column_like(IndexRow, "variance_entropy", default=None)
