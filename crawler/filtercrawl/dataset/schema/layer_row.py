"""Rows of `layers` and `index`: one convolution, its geometry, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.dataset.schema.column import TableRow, column, table_row

_ints: Final = pa.list_(pa.int32())
_texts: Final = pa.list_(pa.string())


@table_row
class ConvolutionRow(TableRow):
    """The columns that `layers` and `index` have in common: what the bytes of a layer prove."""

    model_id: str = column(pa.string(), "the checkpoint, `source/name`; never changes")
    layer_id: str = column(pa.string(), "`model_id#tensor`, followed by `@bank` for one kernel set of a bank")
    row_id: str = column(pa.string(), "`layer_id#partK`, K from 0")
    source: str = column(pa.string(), "the source that listed the checkpoint")
    layer: str = column(pa.string(), "path of the module")
    tensor: str = column(pa.string(), "name of the tensor in the file, as in `ledger`")
    op: str = column(pa.string(), "conv1d, conv2d, conv3d, conv_transpose1d, 2d or 3d")
    kernel: str = column(pa.string(), "kernel size as text, `3x3`: filter by this column")
    kernel_size: tuple[int, ...] = column(_ints, "kernel size by axis")
    taps: int = column(pa.int32(), "numbers in one kernel")
    shape: tuple[int, ...] = column(
        pa.list_(pa.int64()), "shape of this row's weight, `[out, in/groups, *kernel_size]`; in `index` of the layer's"
    )
    out_channels: int = column(pa.int64(), "output channels of the layer")
    in_channels: int | None = column(pa.int64(), "input channels of the layer", default=None)
    groups: int | None = column(pa.int64(), "groups of the convolution", default=None)
    depthwise: bool | None = column(pa.bool_(), "whether each input channel has its own filters", default=None)
    bank_index: int | None = column(pa.int32(), "index of the kernel set in its bank", default=None)
    n_kernels: int = column(
        pa.int64(), "kernels in this row, output channels * input channels / groups; in `index` of the layer"
    )
    part: int = column(pa.int32(), "which part of a layer that is split into several rows")
    n_parts: int = column(pa.int32(), "number of rows of the layer")
    out_start: int = column(pa.int64(), "first output channel of this part")
    stored_dtype: str = column(pa.string(), "type of the numbers in the checkpoint's file")


@table_row
class LayerRow(ConvolutionRow):
    """One layer, or a part of a very large one, with its weight. The files of this table never change."""

    weight_sha256: str = column(pa.string(), "SHA-256 of this row's little-endian float32 bytes")
    layer_sha256: str = column(pa.string(), "SHA-256 of the whole layer's little-endian float32 bytes")
    weight: NDArray[np.float32] = column(
        pa.large_list(pa.float32()), "float32, flat, row-major, exactly the stored values"
    )


@table_row
class IndexRow(ConvolutionRow):
    """One layer: everything but its weight, and where the weight is stored. None means unknown."""

    weight_sha256: str | None = column(pa.string(), "as `layer_sha256`", default=None)
    layer_sha256: str | None = column(
        pa.string(),
        "SHA-256 of the layer's little-endian float32 bytes; null where the weight was not read",
        default=None,
    )
    file: str | None = column(pa.string(), "file that stores the weight; null where none does", default=None)
    row_group: int | None = column(
        pa.int32(), "row group of that file; null where it has the weight as that of another checkpoint", default=None
    )
    stride: tuple[int, ...] | None = column(_ints, "stride of the convolution by axis", default=None)
    padding: tuple[int, ...] | None = column(_ints, "padding of the convolution by axis", default=None)
    dilation: tuple[int, ...] | None = column(_ints, "dilation of the convolution by axis", default=None)
    conv_depth: int | None = column(pa.int32(), "convolutions on the longest path from the input", default=None)
    conv_depth_norm: float | None = column(
        pa.float64(), "`conv_depth` divided by that of the deepest layer", default=None
    )
    n_conv_ancestors: int | None = column(pa.int32(), "convolutions that its input depends on", default=None)
    n_calls: int | None = column(pa.int32(), "calls in one forward pass", default=None)
    is_first: bool | None = column(pa.bool_(), "whether no convolution precedes it", default=None)
    is_last: bool | None = column(
        pa.bool_(), "whether no convolution of any kind follows it, 1x1 and fixed ones included", default=None
    )
    depth_decile: int | None = column(pa.int32(), "tenth of the depth, with bounds (a, b]", default=None)
    weight_kind: str = column(pa.string(), "learned, fixed, dynamic_bank, standardized or dense_as_conv")
    bn_folded: bool | None = column(pa.bool_(), "whether a batch normalization was folded into it", default=None)
    structure_source: str = column(
        pa.string(), "module, onnx_graph, keras_config, tflite_graph, export_graph, cnn_filter_db, plugin or state_dict"
    )
    operator_verified: bool = column(pa.bool_(), "whether the file itself states the operator")
    task: str | None = column(pa.string(), "task of the checkpoint", default=None)
    visual_category: str | None = column(pa.string(), "what the training images show", default=None)
    training_datasets: tuple[str, ...] | None = column(_texts, "in order of training", default=None)
    training_dataset: str | None = column(pa.string(), "the last of `training_datasets`", default=None)
    architecture: str | None = column(pa.string(), "architecture of the checkpoint", default=None)
    family: str | None = column(pa.string(), "family of the architecture", default=None)
    recipe: str | None = column(pa.string(), "which training of the architecture", default=None)
    license: str | None = column(pa.string(), "license of the checkpoint, an SPDX expression", default=None)
    run_id: str | None = column(pa.string(), "training run that has several checkpoints", default=None)
    step: int | None = column(pa.int64(), "step of that run", default=None)
    run_final: bool | None = column(pa.bool_(), "whether it is the last checkpoint of the run", default=None)
    duplicate_of: str | None = column(pa.string(), "another layer with the same bytes", default=None)
    sparsity: float | None = column(pa.float64(), "share of dead kernels", default=None)
    n_dead: int | None = column(pa.int64(), "kernels below a hundredth of the layer's largest magnitude", default=None)
    n_nonfinite: int | None = column(pa.int64(), "number of NaN and infinities", default=None)
    variance_entropy: float | None = column(
        pa.float64(), "entropy of the variances of the kernels' principal components, base 10", default=None
    )
    variance_entropy_norm: float | None = column(
        pa.float64(), "`variance_entropy` divided by its largest value", default=None
    )
    orthogonality: float | None = column(pa.float64(), "of the filters; 1 where all are orthogonal", default=None)
    norm_l1: float | None = column(pa.float64(), "L1 norm of the finite weights", default=None)
    norm_l2: float | None = column(pa.float64(), "L2 norm of the finite weights", default=None)
    norm_linf: float | None = column(pa.float64(), "largest magnitude of the finite weights", default=None)
    redistributable: bool | None = column(
        pa.bool_(), "whether the license lets everybody redistribute the weights", default=None
    )
    is_patchify: bool | None = column(
        pa.bool_(), "whether it is a first one whose stride is its kernel size, more than 1", default=None
    )
    is_stem: bool | None = column(
        pa.bool_(),
        "whether it is in the chain of convolutions from the input up to the first that several follow, the first "
        "depthwise one, a fully connected layer, or, without attention, a map a quarter of the input's size",
        default=None,
    )
    is_last_spatial: bool | None = column(
        pa.bool_(),
        "whether it has more than one tap and no such convolution follows it, where fully connected layers that are "
        "stored as convolutions do not count; null where a graph does not tell these",
        default=None,
    )
    is_downsampling: bool | None = column(
        pa.bool_(), "whether its stride is more than 1, without transposed ones and `is_patchify`", default=None
    )
    pointwise_follower: str | None = column(
        pa.string(),
        "of a depthwise one, `layer_id` of the pointwise one that takes its output with no other convolution and no "
        "fully connected layer between; null where there is none, or the graph is unknown",
        default=None,
    )
    effective_sha256: str | None = column(
        pa.string(),
        "SHA-256 of what its effective weight is computed from, as in `effective`; null where it has no row there",
        default=None,
    )
    effective_steps: tuple[str, ...] | None = column(
        _texts, "what is done to it before the network convolves with it, as `steps` of `effective`", default=None
    )
    merged_into: str | None = column(
        pa.string(), "the layer whose effective weight has this one as a branch", default=None
    )

    @property
    def emitted(self) -> bool:
        """Whether the layer's weight was read, and so belongs to the dataset."""
        return self.layer_sha256 is not None

    @property
    def stored(self) -> bool:
        """Whether a layers file has a row of its own for it."""
        return self.row_group is not None

    @property
    def convolution_kind(self) -> tuple[str, int]:
        """The order of rows in a layers file: a row group has one kernel size and one value of `depthwise`."""
        return self.kernel, {False: 0, True: 1, None: 2}[self.depthwise]

    def with_measures(self, measured: Mapping[str, float | int | None]) -> Self:
        """Return the row with columns that a measure has filled in; names that are no columns are left out."""
        columns: dict[str, Any] = {name: value for name, value in measured.items() if name in self.DESCRIPTIONS}
        return replace(self, **columns)

    def of_checkpoint(self, model_id: str, source: str) -> Self:
        """Return the same layer of another checkpoint with the same file."""
        layer_id = layer_id_of(model_id, self.tensor, self.bank_index)
        follower = self.pointwise_follower
        merged = None if self.merged_into is None else model_id + self.merged_into.removeprefix(self.model_id)
        return replace(
            self,
            model_id=model_id,
            source=source,
            layer_id=layer_id,
            row_id=row_id_of(layer_id, 0),
            pointwise_follower=follower and model_id + follower.removeprefix(self.model_id),
            merged_into=merged,
        )


def layer_id_of(model_id: str, tensor: str, bank_index: int | None) -> str:
    """Return the id of a layer."""
    return f"{model_id}#{tensor}" + ("" if bank_index is None else f"@{bank_index}")


def row_id_of(layer_id: str, part: int) -> str:
    """Return the id of a row of `layers`."""
    return f"{layer_id}#part{part}"
