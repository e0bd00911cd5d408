"""Stored floats as float32 of the same bits everywhere, NaN included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.lazy_tensor import Stored, cast, permute, stored
from filtercrawl.extraction.stored_rows import StoredRows, stored_form
from filtercrawl.extraction.to_float32 import to_float32, to_float32_in
from filtercrawl.extraction.widen import COMPUTED_NAN, widen, widen_into, widen_on_host

CPU = torch.device("cpu")
# How many bits the exponent and the mantissa of types with infinities and NaN have.
FIELDS = {"float16": (5, 10), "bfloat16": (8, 7), "float8_e5m2": (5, 2)}


def codes_of(dtype: str) -> NDArray[np.unsignedinteger]:
    """Return all numbers of a type, as their bits."""
    bits = 8 if dtype.startswith("float8") else 16
    return np.arange(1 << bits).astype(f"u{bits // 8}")


def as_torch(codes: NDArray[np.unsignedinteger], dtype: str) -> torch.Tensor:
    return torch.from_numpy(codes.view(f"i{codes.itemsize}")).view(getattr(torch, dtype))


def bits_of(wide: torch.Tensor) -> NDArray[np.uint32]:
    return wide.contiguous().numpy().view(np.uint32)


def by_rule(codes: NDArray[np.unsignedinteger], dtype: str) -> NDArray[np.uint32]:
    """Return the bits of float32 that the docstring of `widen` states, in integers and exact float64."""
    exponent_bits, mantissa_bits = FIELDS[dtype]
    wide = codes.astype(np.uint32)
    mantissa, exponent = wide & ((1 << mantissa_bits) - 1), (wide >> mantissa_bits) & ((1 << exponent_bits) - 1)
    sign = wide >> (exponent_bits + mantissa_bits)
    bias = (1 << (exponent_bits - 1)) - 1
    implied = np.where(exponent > 0, 1 << mantissa_bits, 0)
    top = exponent == (1 << exponent_bits) - 1
    power = np.where(top, 0, np.maximum(exponent, 1).astype(np.int64) - bias - mantissa_bits)
    numbers = np.ldexp((implied + mantissa).astype(np.float64), power).astype(np.float32)
    result = np.copysign(numbers, np.where(sign > 0, -1.0, 1.0).astype(np.float32)).view(np.uint32)
    quiet = 0 if dtype == "bfloat16" else np.where(mantissa > 0, 0x400000, 0)
    special = (sign << 31) | 0x7F800000 | quiet | (mantissa << (23 - mantissa_bits))
    return np.where(top, special, result).astype(np.uint32)


@pytest.mark.parametrize("dtype", FIELDS)
@pytest.mark.parametrize("function", [widen, widen_on_host])
def test_every_number(dtype: str, function: object) -> None:
    codes = codes_of(dtype)
    assert callable(function)
    assert np.array_equal(bits_of(function(as_torch(codes, dtype))), by_rule(codes, dtype))


@pytest.mark.parametrize("step", [61, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_nan_at_every_place_of_every_length(dtype: str, step: int) -> None:
    """Vectors of processors and the rest behind them: up to 70 numbers there are both, whatever the width."""
    codes = codes_of(dtype)
    nan = codes[np.isnan(by_rule(codes, dtype).view(np.float32))]
    for length in range(1, 71):
        # Row after row each NaN is one place further.
        rows = np.lib.stride_tricks.sliding_window_view(np.concatenate([nan, nan[:length]]), length)[::step]
        expected = by_rule(rows, dtype)
        table = as_torch(rows.copy(), dtype)
        out = torch.empty(rows.shape)
        for one, row in zip(out, table, strict=True):
            widen_into(one, row)
        assert np.array_equal(bits_of(out), expected)
        assert np.array_equal(bits_of(widen(table)), expected)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e5m2"])
def test_types_of_8_bits_do_not_depend_on_the_place(dtype: str) -> None:
    table = as_torch(codes_of(dtype), dtype)
    expected = np.concatenate([bits_of(table[i : i + 1].float()) for i in range(256)])
    for length in (*range(1, 71), 256):
        for first in range(0, 257 - length, 13):
            part = table[first : first + length]
            assert np.array_equal(bits_of(widen_on_host(part)), expected[first : first + length])


def layer(codes: NDArray[np.generic], dtype: str, quantization: Quantization | None = None) -> Layer:
    location = TensorLocation(file=MemoryFile(codes.tobytes()), offset=0, dtype=dtype, shape=codes.shape)
    tensor = StoredTensor(
        name="w.weight", key="w.weight", shape=codes.shape, dtype=dtype, location=location, quantization=quantization
    )
    (found,) = classify_tensors([tensor], "all").layers
    return found


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("filters", [1, 3, 8])
def test_all_ways_to_a_layer_have_the_same_bits(dtype: str, filters: int) -> None:
    nan = codes_of(dtype)[-63:]
    codes = np.resize(nan, (filters, 7, 3, 3))
    found, expected = layer(codes, dtype), by_rule(codes, dtype)
    assert np.array_equal(bits_of(to_float32(found, 0, filters, CPU)), expected)
    out = np.empty(codes.size, np.float32)
    assert np.array_equal(bits_of(to_float32_in(out, found, 0, filters, CPU)), expected)
    form = stored_form(found)
    rows = StoredRows(layers=[found], first_rows=[0], form=form, rows=np.empty((found.n_kernels, 9), form.moved_as))
    rows.read()
    assert np.array_equal(bits_of(rows.normalize(torch.from_numpy)).reshape(codes.shape), expected)


def lazy(codes: NDArray[np.generic], dtype: str) -> Stored:
    return stored(TensorLocation(file=MemoryFile(codes.tobytes()), offset=0, dtype=dtype, shape=codes.shape))


@pytest.mark.parametrize("target", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_nan_of_what_is_computed_is_one_nan(dtype: str, target: str) -> None:
    codes = codes_of(dtype)[-66:].reshape(6, 11)
    for tensor in (cast(lazy(codes, dtype), target), permute(lazy(codes, dtype), (1, 0))):
        read = tensor.read_float32(tuple((0, size) for size in tensor.shape))
        assert (read.view(np.uint32) == COMPUTED_NAN).all()


def test_scales_that_are_not_finite() -> None:
    codes = np.arange(-4, 5, dtype=np.int8).reshape(1, 1, 3, 3).repeat(4, 0)
    scale = (float("inf"), float("-inf"), 1e300, 0.5)
    found = layer(codes, "int8", Quantization(scale=scale, zero_point=(0,), axis=0))
    read = bits_of(to_float32(found, 0, 4, CPU))
    assert (read[:3, 0, 1, 1] == COMPUTED_NAN).all()
    assert not np.isnan(read[3].view(np.float32)).any()
    form = stored_form(found)
    rows = StoredRows(layers=[found], first_rows=[0], form=form, rows=np.empty((4, 9), form.moved_as))
    rows.read()
    assert np.array_equal(bits_of(rows.normalize(torch.from_numpy)), read.reshape(4, 9))
