"""How operators compute constants: a rule for each operator that exporters put between an initializer and a weight.

Rules follow https://onnx.ai/onnx/operators/ and compute what its reference evaluator does, bit for bit. Operators whose
result depends on the order of a sum have no rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.lazy_tensor import (
    BinaryOperator,
    LazyTensor,
    UnaryOperator,
    UnsupportedOperationError,
    arithmetic,
    broadcast,
    cast,
    choose,
    concatenate,
    dequantize,
    elementwise,
    permute,
    quantize,
    repeat,
    reshape,
    stored,
    take,
)
from filtercrawl_plugins.readers.onnx.tensors.dtypes import ELEMENT_TYPES
from filtercrawl_plugins.readers.onnx.usage.fold_call import FoldCall, checked_axis, read_integers
from filtercrawl_plugins.readers.onnx.usage.fold_padding import fold_pad


def _cast(call: FoldCall) -> LazyTensor:
    to = ELEMENT_TYPES.get(call.integer("to", 0))
    if to is None:
        raise UnsupportedOperationError("a cast to an unknown type")
    return cast(call.tensor(), to.dtype, saturate=bool(call.integer("saturate", 1)))


def _cast_like(call: FoldCall) -> LazyTensor:
    return cast(call.tensor(), call.tensor(1).dtype, saturate=bool(call.integer("saturate", 1)))


def _transpose(call: FoldCall) -> LazyTensor:
    rank = len(call.tensor().shape)
    attribute = call.scope.attribute(call.node, "perm")
    return permute(call.tensor(), tuple(reversed(range(rank))) if attribute is None else attribute.few_integers())


def _reshape(call: FoldCall) -> LazyTensor:
    source, wanted = call.tensor(), call.integers("shape", 1)
    if wanted is None or wanted.count(-1) > 1:
        raise UnsupportedOperationError("a reshape without a shape")
    keeps = not call.integer("allowzero", 0)
    sizes = [source.shape[i] if keeps and n == 0 and i < len(source.shape) else n for i, n in enumerate(wanted)]
    known = math.prod(size for size in sizes if size != -1)
    if -1 in sizes:
        sizes[sizes.index(-1)] = source.numel // known if known > 0 else 0
    return reshape(source, tuple(sizes))


def _flatten(call: FoldCall) -> LazyTensor:
    shape = call.tensor().shape
    axis = call.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return reshape(call.tensor(), (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _squeeze(call: FoldCall) -> LazyTensor:
    shape, axes = call.tensor().shape, call.integers("axes", 1)
    dropped = {checked_axis(a, len(shape)) for a in axes} if axes else {a for a, n in enumerate(shape) if n == 1}
    return reshape(call.tensor(), tuple(size for axis, size in enumerate(shape) if axis not in dropped))


def _unsqueeze(call: FoldCall) -> LazyTensor:
    shape, axes = list(call.tensor().shape), call.integers("axes", 1) or ()
    for axis in sorted(checked_axis(axis, len(shape) + len(axes)) for axis in axes):
        shape.insert(axis, 1)
    return reshape(call.tensor(), tuple(shape))


def _expand(call: FoldCall) -> LazyTensor:
    own, wanted = call.tensor().shape, call.integers("shape", 1) or ()
    rank = max(len(own), len(wanted))
    own, wanted = (1,) * (rank - len(own)) + own, (1,) * (rank - len(wanted)) + wanted
    if any(a != b and 1 not in (a, b) for a, b in zip(own, wanted, strict=True)):
        raise UnsupportedOperationError(f"{list(own)} cannot be expanded to {list(wanted)}")
    return broadcast(call.tensor(), tuple(b if a == 1 else a for a, b in zip(own, wanted, strict=True)))


def _slice(call: FoldCall) -> LazyTensor:
    result = call.tensor()
    starts, ends = call.integers("starts", 1), call.integers("ends", 2)
    if starts is None or ends is None:
        raise UnsupportedOperationError("a slice without bounds")
    axes = call.integers("axes", 3) or tuple(range(len(starts)))
    steps = call.integers("steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise UnsupportedOperationError("a slice with operands of different lengths")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index = checked_axis(axis, len(result.shape))
        result = take(result, index, range(result.shape[index])[start:end:step])
    return result


def _split(call: FoldCall) -> LazyTensor:
    source = call.tensor()
    axis = call.axis("axis", 0, len(source.shape))
    size, sizes = source.shape[axis], call.integers("split", 1)
    if sizes is None:
        each = -(-size // len(call.node.outputs))
        sizes = (each,) * (len(call.node.outputs) - 1) + (size - each * (len(call.node.outputs) - 1),)
    if sum(sizes) != size or min(sizes, default=0) < 0 or call.output >= len(sizes):
        raise UnsupportedOperationError("parts that are not the whole")
    first = sum(sizes[: call.output])
    return take(source, axis, range(first, first + sizes[call.output]))


def _concat(call: FoldCall) -> LazyTensor:
    parts = tuple(call.tensor(slot) for slot in range(len(call.inputs)))
    return concatenate(parts, call.axis("axis", 1, len(call.tensor().shape)))


def _gather(call: FoldCall) -> LazyTensor:
    source, operand = call.tensor(), call.tensor(1)
    axis = call.axis("axis", 0, len(source.shape))
    size = source.shape[axis]
    taken = take(source, axis, tuple(i + size if i < 0 else i for i in read_integers(operand)))
    return reshape(taken, (*source.shape[:axis], *operand.shape, *source.shape[axis + 1 :]))


def _where(call: FoldCall) -> LazyTensor:
    return choose(call.tensor(), call.tensor(1), call.tensor(2))


def _shape(call: FoldCall) -> LazyTensor:
    shape = call.tensor().shape
    sizes = shape[slice(call.integer("start", 0), call.integer("end", len(shape)))]
    data = b"".join(size.to_bytes(8, "little") for size in sizes)
    return stored(TensorLocation(file=MemoryFile(data), offset=0, dtype="int64", shape=(len(sizes),)))


def _binary(operator: BinaryOperator) -> Callable[[FoldCall], LazyTensor]:
    def rule(call: FoldCall) -> LazyTensor:
        if len(call.inputs) != 2:
            raise UnsupportedOperationError(f"{operator} of {len(call.inputs)} operands")
        first, second = call.tensor(), call.tensor(1)
        if "axis" in call.node.attributes:  # before version 7 the second operand is aligned at this axis
            axis = call.axis("axis", 0, len(first.shape))
            after = max(0, len(first.shape) - axis - len(second.shape))
            second = reshape(second, (*second.shape, *(1,) * after))
        return arithmetic(operator, first, second)

    return rule


def _unary(operator: UnaryOperator) -> Callable[[FoldCall], LazyTensor]:
    return lambda call: elementwise(operator, call.tensor())


def _clip(call: FoldCall) -> LazyTensor:
    result = call.tensor()
    bounds: tuple[tuple[int, str, BinaryOperator], ...] = ((1, "min", "maximum"), (2, "max", "minimum"))
    for slot, name, operator in bounds:
        if name in call.node.attributes:
            raise UnsupportedOperationError("bounds that are attributes")
        bound = call.optional(slot)
        if bound is not None:
            result = arithmetic(operator, result, bound)
    return result


def _along_axis(call: FoldCall, slot: int) -> LazyTensor | None:
    """Return a scale or zero point in a shape that can be broadcast: one, one an index of an axis, or one a block."""
    source, operand = call.tensor(), call.optional(slot)
    if operand is None or operand.numel == 1:
        return None if operand is None else reshape(operand, ())
    axis = call.axis("axis", 1, len(source.shape))
    block = call.integer("block_size", 0)
    if block > 0 and len(operand.shape) == len(source.shape):
        return repeat(operand, axis, block, source.shape[axis])
    if operand.shape != (source.shape[axis],):
        raise UnsupportedOperationError("scales that are neither of a channel nor of a block")
    return reshape(operand, (*(1 if i != axis else n for i, n in enumerate(source.shape)),))


def _dequantize_linear(call: FoldCall) -> LazyTensor:
    scale = _along_axis(call, 1)
    if scale is None:
        raise UnsupportedOperationError("no scale")
    output = ELEMENT_TYPES.get(call.integer("output_dtype", 0))
    return dequantize(call.tensor(), scale, _along_axis(call, 2), None if output is None else output.dtype)


def _quantize_linear(call: FoldCall) -> LazyTensor:
    scale, zero_point = _along_axis(call, 1), _along_axis(call, 2)
    if scale is None:
        raise UnsupportedOperationError("no scale")
    output = ELEMENT_TYPES.get(call.integer("output_dtype", 0))
    dtype = zero_point.dtype if zero_point is not None else output.dtype if output is not None else "uint8"
    return quantize(call.tensor(), scale, zero_point, dtype, saturate=bool(call.integer("saturate", 1)))


_QUANTIZATION: Final = {"DequantizeLinear": _dequantize_linear, "QuantizeLinear": _quantize_linear}
FOLD_RULES: Final[Mapping[str, Mapping[str, Callable[[FoldCall], LazyTensor]]]] = {
    "": {
        "Identity": FoldCall.tensor,
        "Cast": _cast,
        "CastLike": _cast_like,
        "Transpose": _transpose,
        "Reshape": _reshape,
        "Flatten": _flatten,
        "Squeeze": _squeeze,
        "Unsqueeze": _unsqueeze,
        "Expand": _expand,
        "Slice": _slice,
        "Split": _split,
        "Concat": _concat,
        "Gather": _gather,
        "Pad": fold_pad,
        "Shape": _shape,
        "Where": _where,
        "Neg": _unary("neg"),
        "Abs": _unary("abs"),
        "Sign": _unary("sign"),
        "Sqrt": _unary("sqrt"),
        "Reciprocal": _unary("reciprocal"),
        "Round": _unary("round"),
        "Floor": _unary("floor"),
        "Ceil": _unary("ceil"),
        "Relu": _unary("relu"),
        "Clip": _clip,
        "Min": _binary("minimum"),
        "Max": _binary("maximum"),
        "Mul": _binary("mul"),
        "Div": _binary("div"),
        "Add": _binary("add"),
        "Sub": _binary("sub"),
        **_QUANTIZATION,
    },
    "com.microsoft": _QUANTIZATION,
}
