"""The rule of the operator Pad: https://onnx.ai/onnx/operators/onnx__Pad.html, without negative paddings."""

from __future__ import annotations

import struct

import numpy as np

from filtercrawl.extraction.lazy_tensor import LazyTensor, UnsupportedOperationError, pad, take
from filtercrawl_plugins.readers.onnx.usage.fold_call import MAX_OPERAND, FoldCall, checked_axis


def fold_pad(call: FoldCall) -> LazyTensor:
    """Return a tensor with elements around it; raises UnsupportedOperationError."""
    source, axes = call.tensor(), call.integers("axes", 3)
    rank = len(source.shape)
    axes = tuple(range(rank)) if axes is None else tuple(checked_axis(axis, rank) for axis in axes)
    pads = call.integers("paddings" if "paddings" in call.node.attributes else "pads", 1)
    if pads is None or len(pads) != 2 * len(axes) or min(pads, default=0) < 0 or len(set(axes)) < len(axes):
        raise UnsupportedOperationError(f"{pads} elements around {list(source.shape)}")
    before, after = dict(zip(axes, pads, strict=False)), dict(zip(axes, pads[len(axes) :], strict=True))
    attribute = call.scope.attribute(call.node, "mode")
    mode = attribute.s.decode("ascii", "replace") if attribute is not None else "constant"
    if mode == "constant":
        fronts, backs = (tuple(sizes.get(axis, 0) for axis in range(rank)) for sizes in (before, after))
        return pad(source, fronts, backs, _pad_value(call))
    if mode not in ("edge", "reflect", "wrap") or sum(pads) > MAX_OPERAND:
        raise UnsupportedOperationError(f"a padding of kind {mode!r}")
    for axis in axes:
        indices = np.pad(np.arange(source.shape[axis]), (before[axis], after[axis]), mode)  # type: ignore[call-overload]
        source = take(source, axis, tuple(indices.tolist()))
    return source


def _pad_value(call: FoldCall) -> float:
    attribute, operand = call.scope.attribute(call.node, "value"), call.optional(2)
    if operand is None:
        value: float = struct.unpack("<f", attribute.f)[0] if attribute is not None else 0
        return value
    if operand.numel != 1 or operand.dtype != call.tensor().dtype:
        raise UnsupportedOperationError(f"{operand.numel} numbers of type {operand.dtype} around a tensor")
    return operand.read_all().item()
