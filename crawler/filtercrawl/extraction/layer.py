"""A convolution found in a checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass

from filtercrawl.api.convolution import Op
from filtercrawl.api.range_file import Span
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution found in a checkpoint.

    Attributes:
        tensor: The stored weight.
        path: Module path.
        op: Operator, for example `conv2d`.
        shape: `[out_channels, in_channels/groups, *kernel_size]`, whatever the order in the file.
        groups: Number of groups; None if neither the file nor the shape proves it.
        operator_verified: Whether the file states the operator.
        weight_kind: `learned`, `fixed`, `standardized` and so on.
        exclusion_reason: Why the weight is not written, a reason of the ledger; None if it is written.
        mask: Numbers of the shape of the stored tensor that the weight is multiplied by; None for a plain weight.
    """

    tensor: StoredTensor
    path: str
    op: Op
    shape: tuple[int, ...]
    groups: int | None
    operator_verified: bool
    weight_kind: str
    exclusion_reason: str | None = None
    mask: TensorLocation | None = None

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return self.shape[0]

    @property
    def in_channels(self) -> int | None:
        """Number of input channels over all groups; None if the groups are unknown."""
        return None if self.groups is None else self.shape[1] * self.groups

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Spatial size."""
        return self.shape[2:]

    @property
    def kernel(self) -> str:
        """Spatial size as text: `3x3`, `1x7`, `3` for one dimension."""
        return "x".join(map(str, self.kernel_size))

    @property
    def taps(self) -> int:
        """Spatial positions of one kernel."""
        return math.prod(self.kernel_size)

    @property
    def n_kernels(self) -> int:
        """Number of kernels, out_channels * in_channels / groups."""
        return self.shape[0] * self.shape[1]

    @property
    def depthwise(self) -> bool | None:
        """Whether there are several groups of one input channel; None if the shape alone cannot tell."""
        if self.groups is not None:
            return self.groups > 1 and self.shape[1] == 1
        return None if self.shape[1] == 1 and self.shape[0] > 1 else False

    @property
    def filters_known(self) -> bool:
        """Whether the first axis is the filters; False if the file lists kernels without saying which filter they are
        in.
        """
        return self.groups is not None or self.tensor.convolution is None

    @property
    def spans(self) -> tuple[Span, ...]:
        """The bytes of files that the weight is computed from."""
        return self.tensor.weight_spans() + (() if self.mask is None else (self.mask.byte_span,))

    @property
    def stored_transposed(self) -> bool:
        """Whether the weight is stored as `[in, out/groups, *kernel_size]`."""
        convolution = self.tensor.convolution
        return convolution is not None and convolution.transposed

    def numel_per_out_channel(self) -> int:
        """Return the number of weights of one filter."""
        return math.prod(self.shape[1:])
