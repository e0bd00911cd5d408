"""Tensors that are computed from stored ones, box by box: nothing is read or computed before a box is.

A checkpoint may hold a weight as codes and scales, in another layout, or in pieces. The functions of this package build
the weight that the network convolves with, of which `LazyTensor.read_float32` reads any part. Operations on elements
have the semantics of ONNX (https://onnx.ai/onnx/operators/).
"""

from __future__ import annotations

from filtercrawl.extraction.lazy_tensor.base import (
    INTEGER_RANGES,
    LazyTensor,
    Stored,
    UnsupportedOperationError,
    stored,
)
from filtercrawl.extraction.lazy_tensor.elementwise import (
    Arithmetic,
    BinaryOperator,
    Dequantized,
    Elementwise,
    Quantized,
    UnaryOperator,
    arithmetic,
    bit_field,
    cast,
    dequantize,
    elementwise,
    quantize,
)
from filtercrawl.extraction.lazy_tensor.reshaping import broadcast, concatenate, permute, repeat, reshape, take
from filtercrawl.extraction.lazy_tensor.selection import choose, pad

__all__ = [
    "INTEGER_RANGES",
    "Arithmetic",
    "BinaryOperator",
    "Dequantized",
    "Elementwise",
    "LazyTensor",
    "Quantized",
    "Stored",
    "UnaryOperator",
    "UnsupportedOperationError",
    "arithmetic",
    "bit_field",
    "broadcast",
    "cast",
    "choose",
    "concatenate",
    "dequantize",
    "elementwise",
    "pad",
    "permute",
    "quantize",
    "repeat",
    "reshape",
    "stored",
    "take",
]
