"""Reads how the integer codes of a convolution's weight become numbers."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch

from filtercrawl.api.tensor import FLOAT_DTYPES, ITEMSIZE, Quantization
from filtercrawl_plugins.readers.onnx.graph.provenance import PARAMETER_PRESERVING_OPS, find_origin
from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node
from filtercrawl_plugins.readers.onnx.tensors.dtypes import dtype_of
from filtercrawl_plugins.readers.onnx.tensors.storage import TensorStorage
from filtercrawl_plugins.readers.onnx.usage.weight_uses import ConvolutionUse

# Dynamic quantisation writes ConvInteger, Cast, Mul; a few more steps than that are allowed.
_LONGEST_WAY: Final = 4
_MOST_USERS: Final = 16


def read_quantization(use: ConvolutionUse, storage: TensorStorage) -> Quantization | None:
    """Read scale and zero point of a weight of codes; None where the file does not state them plainly.

    They stand in QLinearConv, in a DequantizeLinear before the convolution, or around ConvInteger as dynamic
    quantisation writes it: its scale is then the constant one of the two that are multiplied, and 1 where
    there is none. A Cast alone makes numbers of codes as they are. Blocked scales are none of these.
    """
    held = use.origin.tensor
    shape = held.shape
    operator = use.operator
    if use.origin.dequantize is not None:
        scope, node = use.origin.dequantize
        given = scope.attribute(node, "axis")
        axis = 1 if given is None else given.i
        axis = axis + len(shape) if axis < 0 else axis
        return _read(storage, scope, shape, axis, (node.input(1), node.input(2)))
    scope, node = use.scope, use.node
    if operator.zero_point is None:
        return Quantization() if dtype_of(held) not in FLOAT_DTYPES else None
    zero_point = node.input(operator.zero_point)
    scale = node.input(operator.scale) if operator.scale is not None else _scale_behind(scope, node)
    return _read(storage, scope, shape, 0, (scale, zero_point))


def _read(
    storage: TensorStorage, scope: Scope, shape: tuple[int, ...], axis: int, names: tuple[str, str]
) -> Quantization | None:
    size = shape[axis] if 0 <= axis < len(shape) else 1
    scale = _numbers(storage, scope, names[0], size) if names[0] else (1.0,)
    zero_point = _numbers(storage, scope, names[1], size) if names[1] else (0.0,)
    if scale is None or zero_point is None or not all(map(math.isfinite, zero_point)):
        return None
    return Quantization(
        scale=scale, zero_point=tuple(int(z) for z in zero_point), axis=max(0, min(axis, len(shape) - 1))
    )


def _numbers(storage: TensorStorage, scope: Scope, name: str, size: int) -> tuple[float, ...] | None:
    found = find_origin(scope, name, PARAMETER_PRESERVING_OPS)
    if found is None or found.dequantize is not None or math.prod(found.tensor.shape) not in (1, size):
        return None
    extent = storage.locate(found.tensor)
    if extent is None or extent.dtype.startswith("complex"):
        return None
    raw = extent.read(tuple((0, n) for n in extent.shape))
    dtype = getattr(torch, extent.dtype)
    flat = torch.from_numpy(np.ascontiguousarray(raw).reshape(-1, ITEMSIZE[extent.dtype]))
    return tuple(flat.view(dtype).flatten().to(torch.float64).tolist())


def _scale_behind(scope: Scope, node: Node) -> str:
    name = node.outputs[0] if node.outputs else ""
    for _ in range(_LONGEST_WAY):
        users = scope.graph.consumers.get(name, [])[:_MOST_USERS] if name else []
        for user in users:
            if user.op_type == "Mul" and not user.domain:
                other = user.input(1) if user.input(0) == name else user.input(0)
                return _constant_factor(scope, other)
        name = next((user.outputs[0] for user in users if user.op_type == "Cast" and user.outputs), "")
    return ""


def _constant_factor(scope: Scope, name: str) -> str:
    found = scope.find(name)
    if found is None or not isinstance(found[1], Node) or found[1].op_type != "Mul":
        return ""
    # The input's scale comes first and is constant only where quantisation is static.
    return next((factor for factor in found[1].inputs[::-1] if find_origin(scope, factor) is not None), "")
