"""Quantization parameters of the weight of a convolution."""

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

# Nodes from a ConvInteger to the Mul with its scale, and consumers of a value that are looked at. Dynamic quantization
# writes ConvInteger, Cast, Mul.
_MAX_STEPS: Final = 4
_MAX_CONSUMERS: Final = 16


def read_quantization(use: ConvolutionUse, storage: TensorStorage) -> Quantization | None:
    """Read scale and zero point of a quantized weight.

    They are inputs of QLinearConv or of a DequantizeLinear before the convolution. With ConvInteger, as dynamic
    quantization writes it, the scale is the constant of the two factors that multiply the result, or 1 if there is
    none. A weight that is only cast has scale 1 and zero point 0.

    Args:
        use: The convolution and its weight.
        storage: Locates the numbers.

    Returns:
        None if the file does not state them in one of these ways, or per block.
    """
    weight = use.origin.tensor
    shape = weight.shape
    operator = use.operator
    if use.origin.dequantize is not None:
        scope, node = use.origin.dequantize
        attribute = scope.attribute(node, "axis")
        axis = 1 if attribute is None else attribute.i
        axis = axis + len(shape) if axis < 0 else axis
        return _read(storage, scope, shape, axis, (node.input(1), node.input(2)))
    scope, node = use.scope, use.node
    if operator.zero_point is None:
        return Quantization() if dtype_of(weight) not in FLOAT_DTYPES else None
    zero_point = node.input(operator.zero_point)
    scale = node.input(operator.scale) if operator.scale is not None else _scale_of_result(scope, node)
    return _read(storage, scope, shape, 0, (scale, zero_point))


def _read(
    storage: TensorStorage, scope: Scope, shape: tuple[int, ...], axis: int, names: tuple[str, str]
) -> Quantization | None:
    size = shape[axis] if 0 <= axis < len(shape) else 1
    scale = _read_numbers(storage, scope, names[0], size) if names[0] else (1.0,)
    zero_point = _read_numbers(storage, scope, names[1], size) if names[1] else (0.0,)
    if scale is None or zero_point is None or not all(map(math.isfinite, zero_point)):
        return None
    return Quantization(
        scale=scale, zero_point=tuple(int(z) for z in zero_point), axis=max(0, min(axis, len(shape) - 1))
    )


def _read_numbers(storage: TensorStorage, scope: Scope, name: str, size: int) -> tuple[float, ...] | None:
    origin = find_origin(scope, name, PARAMETER_PRESERVING_OPS)
    if origin is None or origin.dequantize is not None or math.prod(origin.tensor.shape) not in (1, size):
        return None
    location = storage.locate(origin.tensor)
    if location is None or location.dtype.startswith("complex"):
        return None
    raw = location.read(tuple((0, n) for n in location.shape))
    dtype = getattr(torch, location.dtype)
    flat = torch.from_numpy(np.ascontiguousarray(raw).reshape(-1, ITEMSIZE[location.dtype]))
    return tuple(flat.view(dtype).flatten().to(torch.float64).tolist())


def _scale_of_result(scope: Scope, node: Node) -> str:
    """Return the name of the constant factor that multiplies the result of a node, empty if there is none."""
    name = node.outputs[0] if node.outputs else ""
    for _ in range(_MAX_STEPS):
        consumers = scope.graph.consumers.get(name, [])[:_MAX_CONSUMERS] if name else []
        for consumer in consumers:
            if consumer.op_type == "Mul" and not consumer.domain:
                other = consumer.input(1) if consumer.input(0) == name else consumer.input(0)
                return _constant_factor(scope, other)
        name = next(
            (consumer.outputs[0] for consumer in consumers if consumer.op_type == "Cast" and consumer.outputs), ""
        )
    return ""


def _constant_factor(scope: Scope, name: str) -> str:
    found = scope.find(name)
    if found is None or not isinstance(found[1], Node) or found[1].op_type != "Mul":
        return ""
    # The first factor is the scale of the input, a constant only in static quantization.
    return next((factor for factor in found[1].inputs[::-1] if find_origin(scope, factor) is not None), "")
