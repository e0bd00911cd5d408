"""Lazy tensors whose elements are computed from those of others: arithmetic, casts and quantization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch

from filtercrawl.api.tensor_location import FLOAT_DTYPES, SliceBounds
from filtercrawl.extraction.lazy_tensor.base import (
    CARRIERS,
    INTEGER_RANGES,
    LazyTensor,
    Unary,
    UnsupportedOperationError,
)
from filtercrawl.extraction.lazy_tensor.reshaping import broadcast, broadcast_together

# Names of functions of torch. All results are exact, or rounded once to nearest.
UnaryOperator = Literal["neg", "abs", "sign", "sqrt", "reciprocal", "round", "floor", "ceil", "relu"]
BinaryOperator = Literal["mul", "div", "add", "sub", "minimum", "maximum"]

_FLOATS: Final = frozenset({"float16", "bfloat16", "float32", "float64"})
# Larger magnitudes are rounded to what is no float8_e4m3fn, the ones below to its largest number, 448.
_E4M3FN_OVERFLOW: Final = 464
_ARITHMETIC_DTYPES: Final = _FLOATS | {"int32", "int64"}


@dataclass(frozen=True, kw_only=True)
class Arithmetic(LazyTensor):
    """Elements of two tensors combined; see `arithmetic`."""

    operator: BinaryOperator
    operands: tuple[LazyTensor, ...]

    @property
    def inputs(self) -> tuple[LazyTensor, ...]:
        return self.operands

    def read(self, box: SliceBounds) -> torch.Tensor:
        a, b = (operand.read(box) for operand in self.operands)
        if self.operator == "div":
            return torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc")
        result: torch.Tensor = getattr(torch, self.operator)(a, b)
        return result


def arithmetic(operator: BinaryOperator, first: LazyTensor, second: LazyTensor) -> LazyTensor:
    """Combine two tensors of one dtype, rounding once in that dtype."""
    if first.dtype != second.dtype or first.dtype not in _ARITHMETIC_DTYPES:
        raise UnsupportedOperationError(f"{operator} of {first.dtype} and {second.dtype}")
    operands = broadcast_together(first, second)
    return Arithmetic(shape=operands[0].shape, dtype=first.dtype, operator=operator, operands=operands)


@dataclass(frozen=True, kw_only=True)
class Elementwise(Unary):
    """Elements of one tensor changed; see `elementwise`."""

    operator: UnaryOperator

    def read(self, box: SliceBounds) -> torch.Tensor:
        values = self.source.read(box)
        if self.operator == "sqrt":  # that of torch is not correctly rounded
            with np.errstate(invalid="ignore"):
                wide = values.float() if values.dtype == torch.bfloat16 else values
                return torch.from_numpy(np.sqrt(wide.contiguous().numpy())).to(values.dtype)
        result: torch.Tensor = getattr(torch, self.operator)(values)
        return result


def elementwise(operator: UnaryOperator, source: LazyTensor) -> LazyTensor:
    """Change each element of a tensor of floats; `round` rounds ties to even."""
    if source.dtype not in _FLOATS:
        raise UnsupportedOperationError(f"{operator} of {source.dtype}")
    return Elementwise(shape=source.shape, dtype=source.dtype, source=source, operator=operator)


@dataclass(frozen=True, kw_only=True)
class _BitField(Unary):
    first: int
    bits: int

    def read(self, box: SliceBounds) -> torch.Tensor:
        return (self.source.read(box) >> self.first) & ((1 << self.bits) - 1)


def bit_field(source: LazyTensor, first: int, bits: int) -> LazyTensor:
    """Take some bits of each byte as a number.

    Args:
        source: A tensor of uint8.
        first: The lowest bit, 0 for the least significant one.
        bits: How many.
    """
    if source.dtype != "uint8" or not 0 <= first < first + bits <= 8:
        raise UnsupportedOperationError(f"bits {first} to {first + bits} of {source.dtype}")
    return _BitField(shape=source.shape, dtype="uint8", source=source, first=first, bits=bits)


@dataclass(frozen=True, kw_only=True)
class _Cast(Unary):
    saturate: bool

    def read(self, box: SliceBounds) -> torch.Tensor:
        values = self.source.read(box)
        if self.dtype in FLOAT_DTYPES:
            return _to_float(values, self.dtype, saturate=self.saturate)
        widened: torch.Tensor = values.to(getattr(torch, self.dtype))
        return widened


def cast(source: LazyTensor, dtype: str, *, saturate: bool = True) -> LazyTensor:
    """Convert to a floating-point dtype, rounding to nearest even, or to an integer dtype that has all the values.

    Args:
        source: The tensor.
        dtype: The new dtype.
        saturate: Whether numbers beyond the range of an 8-bit dtype become its largest one.
    """
    if source.dtype == dtype:
        return source
    low, high = INTEGER_RANGES.get(source.dtype, (-math.inf, math.inf))
    widens = dtype in ("int32", "int64") and INTEGER_RANGES[dtype][0] <= low and high <= INTEGER_RANGES[dtype][1]
    if dtype not in FLOAT_DTYPES and not widens:
        raise UnsupportedOperationError(f"a cast to {dtype}")
    return _Cast(shape=source.shape, dtype=dtype, source=source, saturate=saturate)


def _to_float(values: torch.Tensor, dtype: str, *, saturate: bool) -> torch.Tensor:
    target: torch.dtype = getattr(torch, dtype)
    if saturate and dtype.startswith("float8"):
        largest = torch.finfo(target).max
        values = values.float().clamp(-largest, largest)
    elif dtype == "float8_e4m3fn":  # whether torch saturates depends on its version
        values = values.float().masked_fill(values.abs() > _E4M3FN_OVERFLOW, math.nan)
    return values.to(target)


@dataclass(frozen=True, kw_only=True)
class Dequantized(LazyTensor):
    """Numbers from codes; see `dequantize`."""

    codes: LazyTensor
    scale: LazyTensor
    zero_point: LazyTensor | None

    @property
    def inputs(self) -> tuple[LazyTensor, ...]:
        return (self.codes, self.scale) if self.zero_point is None else (self.codes, self.scale, self.zero_point)

    def read(self, box: SliceBounds) -> torch.Tensor:
        codes = self.codes.read(box)
        if not codes.is_floating_point():
            codes = codes.to(torch.int32)
            if self.zero_point is not None:
                codes = codes - self.zero_point.read(box).to(torch.int32)
        return (codes.float() * self.scale.read(box).float()).to(getattr(torch, self.dtype))


def dequantize(
    codes: LazyTensor, scale: LazyTensor, zero_point: LazyTensor | None = None, dtype: str | None = None
) -> LazyTensor:
    """Return `(codes - zero_point) * scale`, computed in float32 and rounded once.

    Args:
        codes: Integers of at most 32 bits, or floats of 4 or 8 bits, which have no zero point.
        scale: Of a shape that can be broadcast to that of the codes.
        zero_point: Likewise; None for 0.
        dtype: The dtype of the result, by default that of the scale.
    """
    dtype = dtype or scale.dtype
    integers = codes.dtype in INTEGER_RANGES and codes.dtype != "int64"
    if not integers:
        zero_point = None
    if not (integers or codes.dtype.startswith(("float8", "float4"))) or dtype not in _FLOATS:
        raise UnsupportedOperationError(f"codes of type {codes.dtype} with scales of type {scale.dtype}")
    if zero_point is not None and zero_point.dtype not in INTEGER_RANGES:
        raise UnsupportedOperationError(f"zero points of type {zero_point.dtype}")
    return Dequantized(
        shape=codes.shape,
        dtype=dtype,
        codes=codes,
        scale=broadcast(scale, codes.shape),
        zero_point=None if zero_point is None else broadcast(zero_point, codes.shape),
    )


@dataclass(frozen=True, kw_only=True)
class Quantized(LazyTensor):
    """Codes from numbers; see `quantize`."""

    source: LazyTensor
    scale: LazyTensor
    zero_point: LazyTensor | None
    saturate: bool

    @property
    def inputs(self) -> tuple[LazyTensor, ...]:
        return (self.source, self.scale) if self.zero_point is None else (self.source, self.scale, self.zero_point)

    def read(self, box: SliceBounds) -> torch.Tensor:
        scaled = self.source.read(box) / self.scale.read(box)
        if self.dtype in FLOAT_DTYPES:
            return _to_float(scaled, self.dtype, saturate=self.saturate)
        rounded = scaled.round().double()
        if self.zero_point is not None:
            rounded = rounded + self.zero_point.read(box).double()
        low, high = INTEGER_RANGES[self.dtype]
        carrier = CARRIERS.get(self.dtype) or getattr(torch, self.dtype)
        return rounded.nan_to_num(0.0, posinf=high, neginf=low).clamp(low, high).to(carrier)


def quantize(
    source: LazyTensor, scale: LazyTensor, zero_point: LazyTensor | None, dtype: str, *, saturate: bool = True
) -> LazyTensor:
    """Return `round(source / scale) + zero_point` within the range of a dtype; ties are rounded to even.

    Args:
        source: Floats.
        scale: Of the same dtype and of a shape that can be broadcast to that of the source.
        zero_point: Likewise, integers; None for 0, and ignored for 8-bit floats.
        dtype: The dtype of the codes.
        saturate: As for `cast`.
    """
    known = dtype in INTEGER_RANGES or (dtype.startswith("float8") and dtype in FLOAT_DTYPES)
    if source.dtype != scale.dtype or source.dtype not in _FLOATS or not known:
        raise UnsupportedOperationError(f"quantization of {source.dtype} by {scale.dtype} to {dtype}")
    return Quantized(
        shape=source.shape,
        dtype=dtype,
        source=source,
        scale=broadcast(scale, source.shape),
        zero_point=None if zero_point is None else broadcast(zero_point, source.shape),
        saturate=saturate,
    )
