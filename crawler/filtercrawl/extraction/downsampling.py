"""What the strides of a convolution tell of its part in the network: it cuts into patches, or makes the map smaller."""

from __future__ import annotations

import math
from collections.abc import Sequence

from filtercrawl.api.convolution import Op


def is_patchify(op: Op, kernel_size: Sequence[int], stride: Sequence[int] | None, is_first: bool | None) -> bool | None:
    """Return whether a convolution cuts the input of the network into patches: a first one, as large as its stride.

    Args:
        op: The operator.
        kernel_size: Kernel size by axis.
        stride: Stride by axis; None where unknown.
        is_first: Whether no convolution precedes it; None where unknown.

    Returns:
        None where it cannot be told.
    """
    if is_first is False or math.prod(kernel_size) == 1 or "transpose" in op:
        return False
    if stride is None:
        return None
    return is_first if tuple(stride) == tuple(kernel_size) else False


def is_downsampling(op: Op, stride: Sequence[int] | None, patchify: bool | None) -> bool | None:
    """Return whether a convolution other than one that cuts the input into patches makes the map smaller.

    Args:
        op: The operator.
        stride: Stride by axis; None where unknown.
        patchify: What `is_patchify` says of it.

    Returns:
        None where it cannot be told.
    """
    if "transpose" in op or patchify:
        return False
    if stride is None or max(stride, default=1) == 1:
        return None if stride is None else False
    return None if patchify is None else True
