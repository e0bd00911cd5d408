"""One convolution's weight, as the dataset describes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from filtercrawl.api.tensor import Op, StoredTensor


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution found in a checkpoint.

    shape: [out_channels, in_channels/groups, *kernel_size], whatever the order in the file. groups, in_channels and
    depthwise are None where neither the file nor the shape proves them; stored: whether its weight is written, or
    why it is not (a word of the ledger).
    """

    tensor: StoredTensor
    path: str
    op: Op
    shape: tuple[int, ...]
    groups: int | None
    operator_verified: bool
    weight_kind: str
    exclusion_reason: str | None = None

    @property
    def out_channels(self) -> int:
        return self.shape[0]

    @property
    def in_channels(self) -> int | None:
        return None if self.groups is None else self.shape[1] * self.groups

    @property
    def kernel_size(self) -> tuple[int, ...]:
        return self.shape[2:]

    @property
    def kernel(self) -> str:
        """The size as one word: `3x3`, `1x7`, `3` for one dimension."""
        return "x".join(map(str, self.kernel_size))

    @property
    def taps(self) -> int:
        return math.prod(self.kernel_size)

    @property
    def n_kernels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def depthwise(self) -> bool | None:
        """One input channel a group and more than one group; None where a shape alone cannot tell."""
        if self.groups is not None:
            return self.groups > 1 and self.shape[1] == 1
        return None if self.shape[1] == 1 and self.shape[0] > 1 else False

    @property
    def filters_known(self) -> bool:
        """Whether the first axis is one of filters; False where kernels are merely listed."""
        return self.groups is not None or self.tensor.convolution is None

    @property
    def transposed(self) -> bool:
        return self.op.startswith("conv_transpose")

    def numel_per_out_channel(self) -> int:
        """Numbers in one output channel's filter."""
        return math.prod(self.shape[1:])
