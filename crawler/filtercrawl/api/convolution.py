"""What is known of a convolution that uses a tensor: its geometry, its place in the network, what normalizes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# An operation, as torch calls it.
Op = Literal["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """What a file states about the convolution that uses a tensor. None: the file does not state it.

    Attributes:
        op: The operation.
        groups: Number of groups; None where only kernels are known, one to a row, and not which filter they belong to.
        stride: Elements, one for each spatial axis.
        padding: Elements, one for each spatial axis; two for each, all begins and then all ends as in ONNX, where the
            two sides differ.
        dilation: Elements, one for each spatial axis.
        learned: Whether training changes the weight; False for a buffer.
        n_calls: How often one forward pass uses it.
        source: Where the facts come from; `plugin` for readers of other distributions.
    """

    op: Op
    groups: int | None
    stride: tuple[int, ...] | None = None
    padding: tuple[int, ...] | None = None
    dilation: tuple[int, ...] | None = None
    learned: bool | None = None
    n_calls: int | None = None
    source: Literal["module", "onnx_graph", "keras_config", "tflite_graph", "export_graph", "cnn_filter_db", "plugin"]

    @property
    def transposed(self) -> bool:
        """Whether this is a transposed convolution, whose weight has the input channels first."""
        return self.op.startswith("conv_transpose")


@dataclass(frozen=True, kw_only=True)
class Place:
    """The part that a convolution has in its network, from the graph.

    Attributes:
        calls: Numbers of its calls among all calls of convolutions, in the order of execution.
        is_stem: Whether it is in the stem: the chain of convolutions from the input up to the first that more than one
            convolution follows, the first depthwise one, a matrix product, or, in networks without attention, a map a
            quarter of the size of the input.
        is_last_spatial: Whether it has more than one tap and no such convolution depends on it; fully connected layers
            that are stored as convolutions do not count; None where the graph does not tell these.
        pointwise_follower: Of a depthwise convolution, the number of the first call of a pointwise one that takes its
            output with no other convolution and no matrix product between; None where there is none.
    """

    calls: tuple[int, ...]
    is_stem: bool
    is_last_spatial: bool | None
    pointwise_follower: int | None = None


@dataclass(frozen=True, kw_only=True)
class FollowingNorm:
    """The batch normalization that takes the output of a convolution, and that alone takes it.

    Where the network has one whose numbers are not in the checkpoint, all names are None.

    Attributes:
        path: Module path, or name of the graph node.
        scale: Name of the tensor that is multiplied; None for 1.
        offset: Name of the tensor that is added; None for 0.
        mean: Name of the running mean.
        variance: Name of the running variance, whose `eps` is what is added to it.
    """

    path: str
    scale: str | None = None
    offset: str | None = None
    mean: str | None = None
    variance: str | None = None


@dataclass(frozen=True, kw_only=True)
class Standardization:
    """Weight standardization: each filter is `(weight - mean) / sqrt(variance + eps) * gain * factor`.

    Mean and biased variance are those of the filter (Qiao et al. 2019, arXiv 1903.10520; with a gain Brock et al. 2021,
    arXiv 2101.08692).

    Attributes:
        eps: What is added to the variance.
        factor: A number for the whole layer.
        gain: Name of the tensor with one number a filter; None for 1.
    """

    eps: float
    factor: float = 1.0
    gain: str | None = None


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Position of a convolution in its network, counted in convolutions of any kind, 1x1 and fixed ones included.

    Where a convolution is called several times the first call counts, and the last one for `is_last`.

    Attributes:
        conv_depth: Convolutions on the longest path before it; 0 for a first one.
        conv_depth_norm: `conv_depth` divided by the largest of the network, in [0, 1]; 0.0 where all are equal.
        n_conv_ancestors: Convolutions it depends on; None where unknown.
        is_first: Whether it depends on none; None where unknown.
        is_last: Whether none depends on it; None where unknown.
        place: Its part in the network; None where unknown.
    """

    conv_depth: int
    conv_depth_norm: float
    n_conv_ancestors: int | None
    is_first: bool | None
    is_last: bool | None
    place: Place | None = None

    @property
    def decile(self) -> int:
        """Bin of `conv_depth_norm`, 0 to 9; bins are (a, b] of width 0.1, and the first includes 0."""
        # Edges are computed by division as the depth was, so that equal fractions are equal floats.
        return next(i for i in range(10) if self.conv_depth_norm <= (i + 1) / 10)
