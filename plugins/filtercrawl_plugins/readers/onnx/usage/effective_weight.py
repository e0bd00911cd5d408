"""The weight that each convolution of a graph convolves with, computed from stored tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.tensor_location import FLOAT_DTYPES
from filtercrawl.extraction.lazy_tensor import (
    INTEGER_RANGES,
    Arithmetic,
    Dequantized,
    Elementwise,
    LazyTensor,
    Quantized,
    Stored,
    UnsupportedOperationError,
    dequantize,
    reshape,
)
from filtercrawl_plugins.readers.onnx.graph.operators import ConvolutionOperator
from filtercrawl_plugins.readers.onnx.graph.provenance import PARAMETER_PRESERVING_OPS, find_origin, source_tensors
from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node, TensorLike
from filtercrawl_plugins.readers.onnx.tensors.dtypes import dtype_of
from filtercrawl_plugins.readers.onnx.usage.constant_folding import ConstantFolder
from filtercrawl_plugins.readers.onnx.usage.result_scale import scale_of_result, scaled_codes

# Operators of a network that computes kernels from its input: mixtures of stored kernels, and what weighs them.
_GENERATOR_OPS: Final = PARAMETER_PRESERVING_OPS | {
    "Add", "Concat", "Div", "Einsum", "Gather", "Gemm", "LeakyRelu", "MatMul", "Mul", "ReduceSum", "Relu", "Sigmoid",
    "Slice", "Softmax", "Split", "Sub", "Tanh",
}  # fmt: skip
_MAX_GENERATOR_NODES: Final = 64
# Elements of a weight that may be repetitions of stored ones.
_MAX_FREE_NUMEL: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class EffectiveWeight:
    """The weight of a convolution.

    Attributes:
        value: What the network convolves with, in the order of the operator.
        origin: Start of the message of the tensor that it is named by: the largest one that it is computed from.
    """

    value: LazyTensor
    origin: int


class WeightResolver:
    """Resolves the weights of one model."""

    def __init__(self, folder: ConstantFolder) -> None:
        self._folder = folder

    def resolve(self, scope: Scope, node: Node, operator: ConvolutionOperator) -> EffectiveWeight | None:
        """Return the weight of a node, None if it cannot be computed; see `unresolved` for why.

        Args:
            scope: Scope of the node.
            node: A convolution.
            operator: How it convolves.
        """
        value = self._folder.fold(scope, node.input(operator.weight))
        try:
            if value is not None and len(value.shape) < 3 and value.dtype not in FLOAT_DTYPES:
                return None
            if value is not None and operator.zero_point is not None:
                value = self._dequantized(scope, node, operator, value)
            elif value is not None and _is_cast_codes(value) and not operator.transposed:
                value = scaled_codes(self._folder, scope, node, value)
            if value is not None:
                value.check_growth(_MAX_FREE_NUMEL)
        except UnsupportedOperationError:
            return None
        if value is None or value.dtype not in FLOAT_DTYPES or not value.numel:
            return None
        return EffectiveWeight(value=value, origin=int(_largest(value).origin))

    def unresolved(self, scope: Scope, node: Node, operator: ConvolutionOperator) -> Iterator[tuple[TensorLike, str]]:
        """Yield the tensors behind a weight that cannot be computed, each with a reason of the ledger."""
        name = node.input(operator.weight)
        origin = find_origin(scope, name, PARAMETER_PRESERVING_OPS)
        tensors = [origin.tensor] if origin is not None else source_tensors(scope, name)
        for tensor in tensors:
            if len(tensor.shape) > 1 and math.prod(tensor.shape) > 1:
                dtype = dtype_of(tensor)
                is_codes = dtype not in FLOAT_DTYPES or dtype.startswith("float8")
                yield tensor, "quantized_codes" if is_codes else "nonstandard_operator"
        if not tensors:
            yield from _generators(scope, name)

    def _dequantized(
        self, scope: Scope, node: Node, operator: ConvolutionOperator, codes: LazyTensor
    ) -> LazyTensor | None:
        """Return the weight of an operator that convolves codes, None if its scale is not known."""
        zero_name = node.input(operator.zero_point or 0)
        zero = self._folder.fold(scope, zero_name) if zero_name else None
        if zero_name and zero is None:
            return None
        if operator.scale is not None:
            scale = self._folder.fold(scope, node.input(operator.scale))
        else:
            scale = scale_of_result(self._folder, scope, node, codes.shape)
        if scale is None:
            return None
        zero = None if zero is None else _of_out_channels(zero, codes.shape)
        return dequantize(codes, _of_out_channels(scale, codes.shape), zero)


def _is_cast_codes(value: LazyTensor) -> bool:
    """Return whether a value is codes of a quantized type that are cast and moved, and neither scaled nor shifted."""
    computing = (Dequantized, Quantized, Arithmetic, Elementwise)
    if len(value.shape) < 3 or any(isinstance(part, computing) for part in value.walk()):
        return False
    codes = _largest(value).dtype
    return codes in INTEGER_RANGES or codes.startswith(("float8", "float4"))


def _largest(value: LazyTensor) -> Stored:
    """Return the largest tensor with numbers of a weight; one of truth values only chooses among them."""
    return max(value.stored(), key=lambda part: (part.dtype != "bool", part.numel))


def _of_out_channels(operand: LazyTensor, shape: tuple[int, ...]) -> LazyTensor:
    """Return a scale or zero point of the tensor or of each output channel in a shape that can be broadcast."""
    if operand.numel == 1:
        return reshape(operand, ())
    return reshape(operand, (shape[0], *(1,) * (len(shape) - 1)))


def weight_notes(value: LazyTensor) -> tuple[str, ...]:
    """Return how a weight is computed, in a word: `fake_quantized`, `dequantized` or `folded`; () for a stored one."""
    parts = list(value.walk())
    if any(isinstance(part, Quantized) for part in parts):
        return ("fake_quantized",)
    if any(isinstance(part, Dequantized) for part in parts):
        return ("dequantized",)
    return () if len(parts) == 1 else ("folded",)


def _generators(scope: Scope, name: str) -> Iterator[tuple[TensorLike, str]]:
    """Yield the matrices and kernels from which a weight that depends on the input is computed.

    Values are followed back to the first operator that computes features, such as a convolution or a pooling.
    """
    pending = [(scope, name)]
    seen: set[tuple[int, str]] = set()
    while pending and len(seen) < _MAX_GENERATOR_NODES:
        value_scope, value = pending.pop()
        found = value_scope.find(value)
        if found is None or (id(value_scope), value) in seen:
            continue
        seen.add((id(value_scope), value))
        producer_scope, producer = found
        if not isinstance(producer, Node):
            if sum(size > 1 for size in producer.shape) > 1 and dtype_of(producer) in FLOAT_DTYPES:
                yield producer, "kernel_generator"
        elif producer.op_type in _GENERATOR_OPS and len(producer.inputs) <= _MAX_GENERATOR_NODES:
            pending += [(producer_scope, value) for value in producer.inputs if value]
