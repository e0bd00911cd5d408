"""Rows of a subset: which kernels of which layers it has, and why other layers are not in it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.dataset.schema.column import TableRow, column, column_like, table_row
from filtercrawl.dataset.schema.layer_row import IndexRow


@table_row
class SubsetRow(TableRow):
    """A layer of a subset, by reference: where its weight is stored, and which of its kernels belong to the subset."""

    layer_id: str = column_like(IndexRow, "layer_id")
    row_id: str = column(pa.string(), "`row_id` of the first row that stores the weight, maybe that of an equal layer")
    model_id: str = column_like(IndexRow, "model_id")
    split: str = column(pa.string(), "train, validation or test")
    kin: str = column(pa.string(), "the first `model_id` of the models that are kin: these are in one split")
    kernel: str = column_like(IndexRow, "kernel")
    kernel_size: tuple[int, ...] = column_like(IndexRow, "kernel_size")
    shape: tuple[int, ...] = column(
        pa.list_(pa.int64()), "shape of the layer's weight, `[out, in/groups, *kernel_size]`"
    )
    license: str | None = column_like(IndexRow, "license", default=None)
    n_kernels: int = column(pa.int64(), "kernels of the layer")
    n_kept: int = column(pa.int64(), "those of them in the subset")
    kept: bytes | None = column(
        pa.binary(),
        "a bit for each kernel `out * in_per_group + in`, the lowest of a byte first: whether it is in the subset; "
        "null where all are",
        default=None,
    )
    file: str = column(pa.string(), "file that stores the weight")
    row_group: int = column(pa.int32(), "row group of that file in which the weight begins")
    n_parts: int = column(pa.int32(), "number of rows that store the weight")
    layer_sha256: str = column(pa.string(), "SHA-256 of the layer's little-endian float32 bytes")


@table_row
class ExcludedLayerRow(TableRow):
    """A layer of `index` that a subset does not have."""

    layer_id: str = column_like(IndexRow, "layer_id")
    reason: str = column(pa.string(), "the first rule of the recipe that excludes it, `not_stored` or `no_kernel_left`")


@table_row
class SubsetWeightRow(TableRow):
    """Kernels of a layer of a subset with their weights; a row has at most 16 MiB, or one kernel."""

    layer_id: str = column_like(IndexRow, "layer_id")
    model_id: str = column_like(IndexRow, "model_id")
    part: int = column(pa.int32(), "which part of the layer's kernels")
    kin: str = column_like(SubsetRow, "kin")
    kernel: str = column_like(IndexRow, "kernel")
    license: str | None = column_like(IndexRow, "license", default=None)
    shape: tuple[int, ...] = column(pa.list_(pa.int64()), "shape of this row's weight, `[n, *kernel_size]`")
    places: tuple[int, ...] = column(pa.list_(pa.int64()), "the kernels, `out * in_per_group + in` in the layer")
    weight: NDArray[np.float32] = column(
        pa.large_list(pa.float32()), "float32, flat, row-major, exactly the stored values"
    )
