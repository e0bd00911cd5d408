"""Weights of state dicts that are stored as codes and scales, each under a name of its own.

One table: the name and dtype of the codes and the names beside them decide how libraries dequantize. All compute
`(code - zero_point) * scale` or `code * scale - shift`, here in float32 whatever the dtype of the scale. Codes whose
scale is there but cannot be applied to them in a way that is known are no weights, nor are 8-bit floats beside a scale.

Sources: `optimum.quanto` (`QModuleMixin`, `QBitsTensor`, `PackedTensor`), `compressed_tensors`, `bitsandbytes`
(`int8_vectorwise_dequant`, `QuantState`), ComfyUI (`scale_weight` and `weight_scale` of scaled checkpoints),
DeepSeek-V3 (`weight_scale_inv`, one for each block), GPTQ, HQQ, ModelOpt (NVFP4).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.code_evidence import (
    CODE_DTYPES,
    PACKED,
    QUANT_STATES,
    CodeEvidence,
    Module,
    code_evidence,
    is_codes,
    is_halves,
)
from filtercrawl.extraction.lazy_tensor import (
    LazyTensor,
    UnsupportedOperationError,
    arithmetic,
    bit_field,
    cast,
    concatenate,
    dequantize,
    repeat,
    reshape,
    stored,
    take,
)

# Sizes of the blocks of two axes that share a scale.
_BLOCK: Final = 128
# Factor of `bitsandbytes.functional.int8_vectorwise_dequant`: the scale is the largest magnitude of a row.
_ROW_FACTOR: Final = 7.874015718698502e-3
_SCALES: Final = frozenset({"float32", "float16", "bfloat16", "float64"})


@dataclass(frozen=True, kw_only=True)
class _Scheme:
    """How a library names the parts of a quantized weight; names are relative to the module.

    Attributes:
        rule: Its name, which `filtercrawl inspect` shows.
        codes: Name of the codes.
        scale: Name of the scale.
        zero_point: Name of the zero point, if the library has one.
        shift: Name of what is subtracted at last, where codes of 4 or 2 bits are packed along their first axis.
        factor: What the scale is multiplied by.
    """

    rule: str
    codes: str = "weight"
    scale: str
    zero_point: str = ""
    shift: str = ""
    factor: float = 1.0


_SCHEMES: Final = (
    _Scheme(rule="quanto", codes="weight._data", scale="weight._scale"),
    _Scheme(rule="quanto_packed", codes="weight._data._data", scale="weight._scale", shift="weight._shift"),
    _Scheme(rule="weight_scale", scale="weight_scale", zero_point="weight_zero_point"),
    _Scheme(rule="weight_scale_inv", scale="weight_scale_inv"),
    _Scheme(rule="scale_weight", scale="scale_weight"),
    _Scheme(rule="bitsandbytes", scale="SCB", factor=_ROW_FACTOR),
    _Scheme(rule="scale", scale="scale", zero_point="zero_point"),
)
# Names beside codes that say that the scale alone does not suffice: shifts of groups, scales of scales.
_FURTHER: Final = ("weight._shift", "weight_scale_2", "weight_global_scale", "weight_g_idx")
# Names of other state of quantized modules.
_OPERANDS: Final = frozenset(
    {scheme.scale for scheme in _SCHEMES} | {scheme.zero_point for scheme in _SCHEMES} | set(_FURTHER)
    | {"input_scale", "output_scale", "scale_input", "input_zero_point", "output_zero_point", "input_global_scale"}
    | {"comfy_quant", "weight_format", "weight_shape", "weight.absmax", "weight.quant_map", "weight.nested_absmax"}
    | {"weight.nested_quant_map", *QUANT_STATES, "scales", "zeros", "qzeros", "g_idx"}
)  # fmt: skip
# Names with dots of their own.
_PARTS: Final = tuple(sorted(name for name in {*_OPERANDS, *PACKED} if "." in name))


def resolve_quantized(tensors: Iterable[StoredTensor]) -> tuple[StoredTensor, ...]:
    """Add to the codes of quantized weights the weight that they mean, or why it is not known.

    Tensors that the reader has decided on, and codes whose scale it knows, are left alone.

    Returns:
        All tensors in their order. Codes in a tensor of their own have the key of the weight.
    """
    every = tuple(tensors)
    modules: dict[tuple[tuple[str, ...], str], dict[str, StoredTensor]] = defaultdict(dict)
    for tensor in every:
        module, leaf = _split(tensor.key)
        modules[tensor.root, module][leaf] = tensor
    evidence = code_evidence(modules)
    return tuple(_resolve(tensor, modules[tensor.root, _split(tensor.key)[0]], evidence) for tensor in every)


def _split(key: str) -> tuple[str, str]:
    """Split a key into module and parameter; parts of a parameter belong to its module: `conv`, `weight._scale`."""
    part = next((part for part in _PARTS if key == part or key.endswith(f".{part}")), None)
    if part is not None:
        return key[: -len(part)].removesuffix("."), part
    module, _, leaf = key.rpartition(".")
    return module, leaf


def _resolve(tensor: StoredTensor, module: Module, evidence: CodeEvidence) -> StoredTensor:
    if tensor.reason is not None or tensor.location is None or tensor.quantization is not None:
        return tensor
    path, leaf = _split(tensor.key)
    if evidence.is_state(tensor, path, leaf) or (leaf in _OPERANDS and evidence.has_codes(tensor, path)):
        return replace(tensor, reason="quantization", rule="quantized_module")
    if tensor.key == "scaled_fp8":  # the mark of ComfyUI's scaled checkpoints
        return replace(tensor, reason="quantization", rule="quantized_module")
    scheme = next((s for s in _SCHEMES if s.codes == leaf and _is_scale(module.get(s.scale))), None)
    halves = is_halves(tensor, leaf, module)
    if scheme is None and (halves or evidence.is_scaled(tensor, path, leaf)):
        return replace(tensor, reason="quantized_codes", rule="quantized_module")
    if not is_codes(tensor) or (scheme is None and leaf not in PACKED):
        return tensor
    weight = None
    if scheme is not None and len(tensor.shape) >= 3 and module.keys().isdisjoint({*_FURTHER} - {scheme.shift}):
        weight = _packed_weight(scheme, tensor, module) if scheme.shift else _weight(scheme, tensor, module)
    if weight is not None and scheme is not None:
        key = f"{tensor.key.removesuffix(leaf)}weight"
        return replace(tensor, key=key, weight=weight, notes=(*tensor.notes, scheme.rule))
    if len(tensor.shape) < 3 and leaf == "weight" and not halves:
        return tensor
    return replace(tensor, reason="quantized_codes", rule="quantized_module")


def _is_scale(tensor: StoredTensor | None) -> bool:
    return tensor is not None and tensor.dtype in _SCALES and tensor.location is not None


def _weight(scheme: _Scheme, codes: StoredTensor, module: Module) -> LazyTensor | None:
    """Return the weight, None if the parts do not fit together."""
    scale, zero_point = module[scheme.scale], module.get(scheme.zero_point)
    one_each = scale.shape[:1] == codes.shape[:1] and math.prod(scale.shape) == codes.shape[0]
    if scheme.rule == "scale" and zero_point is not None and not one_each:
        return None  # quantized modules of torch state the scale of their output so
    if codes.dtype == "uint8" and zero_point is None:
        return None  # bits of another type, or codes around a number that is not here
    try:
        aligned = cast(_aligned(scale, codes.shape), "float32")
        zero = None if zero_point is None else _aligned(zero_point, codes.shape)
        weight = dequantize(_lazy(codes), aligned, zero)
        return weight if scheme.factor == 1 else arithmetic("mul", weight, _number(scheme.factor))
    except UnsupportedOperationError:
        return None


def _packed_weight(scheme: _Scheme, codes: StoredTensor, module: Module) -> LazyTensor | None:
    """Return the weight of codes that are packed along their first axis, None if the parts do not fit together.

    Where a scale is that of a group of inputs, the file does not state the shape of the weight.
    """
    scale, shift = module[scheme.scale], module.get(scheme.shift)
    shape = (*scale.shape[:1], *codes.shape[1:])
    if shift is None or not scale.shape == shift.shape == (*shape[:1], *(1,) * (len(shape) - 1)):
        return None
    try:
        whole = cast(_lazy(scale), "float32")
        unpacked = _unpacked(_lazy(codes), shape[0])
        if shift.dtype in CODE_DTYPES:
            return dequantize(unpacked, whole, _lazy(shift))
        return arithmetic("sub", dequantize(unpacked, whole), cast(_lazy(shift), "float32"))
    except UnsupportedOperationError:
        return None


def _unpacked(codes: LazyTensor, size: int) -> LazyTensor:
    """Return codes of 4 or 2 bits, whose first part is in the lowest bits, with `size` of them along the first axis."""
    fitting = [bits for bits in (4, 2) if codes.shape[0] == -(-size * bits // 8)]
    if len(fitting) != 1:
        raise UnsupportedOperationError(f"{codes.shape[0]} packed rows for {size}")
    (bits,) = fitting
    parts = tuple(bit_field(codes, first, bits) for first in range(0, 8, bits))
    return take(concatenate(parts, 0), 0, range(size))


def _aligned(operand: StoredTensor, shape: tuple[int, ...]) -> LazyTensor:
    """Return a scale or zero point in a shape that can be broadcast to that of the codes.

    It is one number, one for each output channel, an array with the axes of the codes, or one for each block of the
    first two axes.
    """
    lazy, own = _lazy(operand), operand.shape
    if lazy.numel == 1:
        return reshape(lazy, ())
    if own[0] == shape[0] == lazy.numel:
        return reshape(lazy, (shape[0], *(1,) * (len(shape) - 1)))
    if len(own) == len(shape) and all(size in (1, full) for size, full in zip(own, shape, strict=True)):
        return lazy
    blocks = tuple(-(-size // _BLOCK) for size in shape[:2])
    if own != (*blocks, *(1,) * (len(own) - 2)):
        raise UnsupportedOperationError(f"scales of {list(own)} for codes of {list(shape)}")
    by_rows = repeat(reshape(lazy, (*blocks, *(1,) * (len(shape) - 2))), 0, _BLOCK, shape[0])
    return repeat(by_rows, 1, _BLOCK, shape[1])


def _lazy(tensor: StoredTensor) -> LazyTensor:
    if tensor.location is None:
        raise UnsupportedOperationError("numbers that cannot be read")
    return stored(tensor.location)


def _number(value: float) -> LazyTensor:
    data = np.float32(value).tobytes()
    return stored(TensorLocation(file=MemoryFile(data), offset=0, dtype="float32", shape=()))
