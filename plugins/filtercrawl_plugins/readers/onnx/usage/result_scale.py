"""The scale of a weight of integers, which the graph applies to the result of its convolution.

ConvInteger convolves codes with codes. Exporters write, in this order or a similar one: ConvInteger, Add (a bias in
codes), Cast, Mul by the product of the scale of the input and that of the weight. The input's scale is known where its
codes are made: by DynamicQuantizeLinear, or by QuantizeLinear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Final

from filtercrawl.extraction.lazy_tensor import LazyTensor, UnsupportedOperationError, arithmetic, reshape
from filtercrawl_plugins.readers.onnx.graph.scope import Scope
from filtercrawl_plugins.readers.onnx.graph.types import Node
from filtercrawl_plugins.readers.onnx.usage.channel_axis import ChannelAxis
from filtercrawl_plugins.readers.onnx.usage.constant_folding import ConstantFolder

# Nodes from the convolution to the last Mul, and consumers of a value that are looked at.
_MAX_STEPS: Final = 12
_MAX_CONSUMERS: Final = 16
_UNCHANGED: Final = frozenset({"Identity", "Cast"})
_LAYOUT: Final = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"})
# Operators that codes pass before they are convolved; the scale stays the same.
_SCALE_KEEPING: Final = _UNCHANGED | _LAYOUT | {"MaxPool", "Pad", "Slice", "Concat", "Relu", "Clip"}
# Operators after which a result is codes again: its factor then has the scale of these codes in it.
_TO_CODES: Final = frozenset({"Round", "Floor", "Ceil"})


# A constant factor of a result, and the number of axes of the result from the channels to the last, both included; None
# if it is not known where the channels are.
_Factor = tuple[LazyTensor, int | None]


def scale_of_result(
    folder: ConstantFolder, scope: Scope, node: Node, weight_shape: tuple[int, ...]
) -> LazyTensor | None:
    """Return the scale of the weight of a ConvInteger node.

    Args:
        folder: Folds the constants of the model.
        scope: Scope of the node.
        node: The node.
        weight_shape: Shape of its weight, `[out, in/groups, *kernel_size]`.

    Returns:
        A scale that can be broadcast to the weight: what multiplies the result, without the scale of the input. None if
        the graph does not show it in a way that is known here.
    """
    input_scale = _input_scale(scope, node)
    if input_scale is None or not node.outputs:
        return None
    constants: list[_Factor] = []
    is_divided = False
    for name, channel_axes in _following_factors(folder, scope, node.outputs[0], weight_shape):
        others = _other_factors(folder, (scope, name), input_scale)
        constant = folder.fold(scope, name) if others is None else None
        if others is None and constant is None:
            return None
        constants += [(factor, channel_axes) for factor in (others or ())]
        if constant is not None:
            constants.append((constant, channel_axes))
        is_divided = is_divided or others is not None
        if is_divided and constants:
            break
    try:
        if is_divided:
            return _product([_per_channel(factor, weight_shape) for factor in constants])
        # Quantized ahead: the first factor is a constant that includes the scale of the input.
        static = folder.fold(*input_scale)
        if static is None or not constants:
            return None
        return arithmetic("div", _per_channel(constants[0], weight_shape), reshape(static, ()))
    except UnsupportedOperationError:
        return None


def scaled_codes(folder: ConstantFolder, scope: Scope, node: Node, codes: LazyTensor) -> LazyTensor | None:
    """Return the weight of a node that convolves with codes as floats: with the factor of its result, if it has one.

    Args:
        folder: Folds the constants of the model.
        scope: Scope of the node.
        node: The node.
        codes: What it convolves with: codes that are cast, and not dequantized.

    Returns:
        The weight; the codes if nothing multiplies the result, as with kernels of whole numbers. None if the factor is
        no constant, or not one for each channel.
    """
    following = _following_factors(folder, scope, node.outputs[0] if node.outputs else "", codes.shape)
    name, channel_axes = next(following, ("", None))
    if not name:
        return codes
    factor = folder.fold(scope, name)
    try:
        return None if factor is None else arithmetic("mul", codes, _per_channel((factor, channel_axes), codes.shape))
    except UnsupportedOperationError:
        return None


def _following_factors(
    folder: ConstantFolder, scope: Scope, name: str, weight_shape: tuple[int, ...]
) -> Iterator[tuple[str, int | None]]:
    """Yield the other factor of the first Mul that a result goes through, by name, and of those right behind it."""
    channels: ChannelAxis | None = ChannelAxis(axis=1, rank=len(weight_shape), size=weight_shape[0])
    before_bias = True
    for _ in range(_MAX_STEPS):
        consumers = scope.graph.consumers.get(name, [])
        if len(consumers) != 1 or not consumers[0].outputs or not _is_standard(scope, consumers[0]):
            return
        consumer = consumers[0]
        if consumer.op_type == "Mul":
            results = scope.graph.consumers.get(consumer.outputs[0], [])[:_MAX_CONSUMERS]
            if any(result.op_type in _TO_CODES for result in results):
                return
            factor = consumer.input(1) if consumer.input(0) == name else consumer.input(0)
            yield factor, None if channels is None else channels.to_last
            before_bias = False
        elif consumer.op_type in _LAYOUT:
            channels = None if channels is None else channels.behind(folder, scope, consumer)
        elif consumer.op_type not in _UNCHANGED and not (consumer.op_type == "Add" and before_bias):
            return
        name = consumer.outputs[0]


def _other_factors(
    folder: ConstantFolder, value: tuple[Scope, str], input_scale: tuple[Scope, str], depth: int = 0
) -> list[LazyTensor] | None:
    """Return the other factors of a product that includes the scale of the input; None if it does not include it."""
    scope, name = value
    found = scope.find(name)
    if found is None or depth > _MAX_STEPS:
        return None
    if _same_value(value, input_scale):
        return []
    producer_scope, producer = found
    if not isinstance(producer, Node) or not _is_standard(producer_scope, producer):
        return None
    if producer.op_type in _UNCHANGED | _LAYOUT:
        others = _other_factors(folder, (producer_scope, producer.input(0)), input_scale, depth + 1)
        return others if producer.op_type in _UNCHANGED or not others else None
    if producer.op_type == "Mul" and len(producer.inputs) == 2:
        for slot, other in enumerate(reversed(producer.inputs)):
            factors = _other_factors(folder, (producer_scope, producer.input(slot)), input_scale, depth + 1)
            constant = folder.fold(producer_scope, other) if factors is not None else None
            if factors is not None:
                return None if constant is None else [*factors, constant]
    return None


def _product(factors: Sequence[LazyTensor]) -> LazyTensor | None:
    return reduce(lambda a, b: arithmetic("mul", a, b), factors) if factors else None


def _is_standard(scope: Scope, node: Node) -> bool:
    return not node.domain and scope.called_function(node) is None


def _per_channel(factor: _Factor, weight_shape: tuple[int, ...]) -> LazyTensor:
    """Return a factor of the result `[n, out, *sizes]` as a factor of the weight."""
    scale, channel_axes = factor
    if scale.numel == 1:
        return reshape(scale, ())
    rank, out = len(weight_shape), weight_shape[0]
    # Aligned at the last axis, as NumPy broadcasts: one number a channel, nothing else.
    if channel_axes is None or scale.shape[-channel_axes:] != (out, *(1,) * (channel_axes - 1)) or scale.numel != out:
        raise UnsupportedOperationError("a factor that is not one a channel")
    return reshape(scale, (out, *(1,) * (rank - 1)))


def _input_scale(scope: Scope, node: Node) -> tuple[Scope, str] | None:
    """Return the name of the scale of a node's input, with its scope; None if its codes are made in another way."""
    name = node.input(0)
    for _ in range(_MAX_STEPS):
        found = scope.find(name)
        if found is None:
            return None
        scope, producer = found
        if not isinstance(producer, Node) or scope.called_function(producer) is not None:
            return None
        if producer.domain not in ("", "com.microsoft"):
            return None
        if producer.op_type == "DynamicQuantizeLinear" and len(producer.outputs) > 1:
            return scope, producer.outputs[1]
        if producer.op_type == "QuantizeLinear":
            return scope, producer.input(1)
        if producer.op_type not in _SCALE_KEEPING:
            return None
        name = producer.input(0)
    return None


def _same_value(first: tuple[Scope, str], second: tuple[Scope, str]) -> bool:
    """Return whether two names mean the same value."""
    a, b = first[0].find(first[1]), second[0].find(second[1])
    if a is None or b is None or a[1] is not b[1]:
        return False
    return not isinstance(a[1], Node) or first[1] == second[1]
