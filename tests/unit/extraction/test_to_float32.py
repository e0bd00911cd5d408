"""One layout, dtype and scale, whatever part of a layer is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.to_float32 import to_float32, to_float32_in

CPU = torch.device("cpu")


def layer(weight: np.ndarray, dtype: str = "float32", **proven: Any) -> Layer:
    extent = TensorLocation(file=MemoryFile(weight.tobytes()), offset=0, dtype=dtype, shape=weight.shape)
    stored = StoredTensor(name="w.weight", key="w.weight", shape=weight.shape, dtype=dtype, location=extent, **proven)
    (found,) = classify_tensors([stored], "all").layers
    return found


@st.composite
def channels(draw: st.DrawFn, n: int) -> tuple[int, int]:
    start = draw(st.integers(0, n - 1))
    return start, draw(st.integers(start + 1, n))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_part_of_a_transposed_layer(data: st.DataObject) -> None:
    groups, inputs, outputs = (data.draw(st.integers(1, 4)) for _ in range(3))
    size = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    weight = np.random.default_rng(0).normal(size=(groups * inputs, outputs, *size)).astype("f4")
    convolution = Convolution(op=f"conv_transpose{len(size)}d", groups=groups, source="module")  # type: ignore[arg-type]
    found = layer(weight, convolution=convolution)
    expected = np.concatenate([part.swapaxes(0, 1) for part in np.split(weight, groups)])
    assert found.shape == expected.shape
    start, stop = data.draw(channels(found.out_channels))
    made = to_float32(found, start, stop, CPU)
    assert made.is_contiguous()
    assert np.array_equal(made.numpy(), expected[start:stop])
    check_in_memory(found, start, stop, made)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_codes_become_weights(data: st.DataObject) -> None:
    """`(code - zero_point) * scale`, one scale or one a channel along either axis of the channels."""
    kind = data.draw(st.sampled_from(["int8", "uint8", "int32"]))
    codes = np.random.default_rng(1).integers(-120, 120, (4, 3, 2, 2)).astype(kind)
    axis = data.draw(st.sampled_from([0, 1]))
    n = data.draw(st.sampled_from([1, codes.shape[axis]]))
    scale = np.array(data.draw(st.lists(st.floats(2**-10, 8, width=32), min_size=n, max_size=n)), "f4")
    zero = np.array(data.draw(st.lists(st.integers(-128, 127), min_size=n, max_size=n)), "i4")
    quantization = Quantization(scale=tuple(map(float, scale)), zero_point=tuple(map(int, zero)), axis=axis)
    start, stop = data.draw(channels(4))
    convolution = Convolution(op="conv2d", groups=1, source="onnx_graph")
    found = layer(codes, kind, quantization=quantization, convolution=convolution)
    made = to_float32(found, start, stop, CPU)
    check_in_memory(found, start, stop, made)
    along = [1, 1, 1, 1]
    along[axis] = -1
    expected = (codes.astype("i4") - zero.reshape(along)).astype("f4") * scale.reshape(along)
    assert made.dtype == torch.float32
    assert np.array_equal(made.numpy(), expected[start:stop])


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_parts_join_to_the_whole(dtype: str) -> None:
    weight = torch.randn(7, 2, 3, 3).to(getattr(torch, dtype))
    extent = TensorLocation(
        file=MemoryFile(weight.view(torch.uint8).numpy().tobytes()), offset=0, dtype=dtype, shape=tuple(weight.shape)
    )
    stored = StoredTensor(name="w.weight", key="w.weight", shape=extent.shape, dtype=dtype, location=extent)
    (found,) = classify_tensors([stored]).layers
    parts = [to_float32(found, start, stop, CPU) for start, stop in ((0, 3), (3, 4), (4, 7))]
    assert torch.equal(torch.cat(parts), weight.float())
    for (start, stop), part in zip(((0, 3), (3, 4), (4, 7)), parts, strict=True):
        check_in_memory(found, start, stop, part)


def check_in_memory(found: Layer, start: int, stop: int, expected: torch.Tensor) -> None:
    """The same numbers in memory of the caller, of which the result is a view."""
    out = np.full(expected.numel(), np.nan, np.float32)
    made = to_float32_in(out, found, start, stop, CPU)
    assert torch.equal(made, expected)
    assert made.data_ptr() == out.ctypes.data
