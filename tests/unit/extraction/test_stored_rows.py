"""Kernels that a device normalizes for many layers at once against `to_float32` of each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.stored_rows import StoredRows, stored_form
from filtercrawl.extraction.to_float32 import to_float32

CPU = torch.device("cpu")
FLOATS = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float64")


def layer(shape: tuple[int, ...], dtype: str, seed: int = 0, **proven: Any) -> Layer:
    """Return a layer of random bytes, which as floats are of all magnitudes, NaN and infinities among them."""
    data = np.random.default_rng(seed).bytes(math.prod(shape) * ITEMSIZE[dtype])
    location = TensorLocation(file=MemoryFile(data), offset=0, dtype=dtype, shape=shape)
    stored = StoredTensor(name="w.weight", key="w.weight", shape=shape, dtype=dtype, location=location, **proven)
    (found,) = classify_tensors([stored], "all").layers
    return found


def check(layers: list[Layer], *, gap: int = 2) -> None:
    """Check that layers have the bits of `to_float32`, and that there are zeros between them."""
    (form,) = {stored_form(one) for one in layers}
    firsts, end = [], 0
    for one in layers:
        firsts.append(end)
        end += one.n_kernels + gap
    rows = np.full((end, layers[0].taps), 77).astype(form.moved_as)
    stored = StoredRows(layers=layers, first_rows=firsts, form=form, rows=rows)
    stored.read()
    kernels = stored.normalize(torch.from_numpy).numpy()
    assert kernels.dtype == np.float32
    for one, first in zip(layers, firsts, strict=True):
        expected = to_float32(one, 0, one.out_channels, CPU).numpy().reshape(-1, one.taps)
        assert kernels[first : first + one.n_kernels].tobytes() == expected.tobytes()
        assert not kernels[first + one.n_kernels : first + one.n_kernels + gap].any()


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_float_type(dtype: str) -> None:
    check([layer((5, 4, 3, 3), dtype), layer((1, 7, 3, 3), dtype, 1)])


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4),
    transposed=st.lists(st.booleans(), min_size=4, max_size=4),
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
)
def test_transposed_layers_among_others(shapes: list[tuple[int, int, int]], transposed: list[bool], dtype: str) -> None:
    layers = []
    for i, ((groups, inputs, outputs), is_transposed) in enumerate(zip(shapes, transposed, strict=False)):
        convolution = Convolution(op="conv_transpose2d" if is_transposed else "conv2d", groups=groups, source="module")
        layers.append(layer((groups * inputs, outputs, 2, 3), dtype, i, convolution=convolution))
    check(layers)


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(["int8", "uint8"]),
    axis=st.integers(0, 1),
    per_channel=st.tuples(st.booleans(), st.booleans()),
    is_transposed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_codes_with_scales(
    dtype: str, axis: int, per_channel: tuple[bool, bool], is_transposed: bool, seed: int
) -> None:
    shape = (6, 4, 3, 3)
    random = np.random.default_rng(seed)
    scale = tuple(random.normal(size=shape[axis] if per_channel[0] else 1).tolist())
    zero_point = tuple(random.integers(-5, 200, size=shape[axis] if per_channel[1] else 1).tolist())
    convolution = Convolution(op="conv_transpose2d" if is_transposed else "conv2d", groups=2, source="module")
    quantization = Quantization(scale=scale, zero_point=zero_point, axis=axis)
    one = layer(shape, dtype, seed, convolution=convolution, quantization=quantization)
    check([one, one])


def test_scales_along_the_kernel_are_applied_on_the_host() -> None:
    quantization = Quantization(scale=(0.5, 2.0, 3.0), zero_point=(1, 2, 3), axis=2)
    one = layer((4, 3, 3, 3), "int8", quantization=quantization)
    assert stored_form(one).is_float32
    check([one, layer((4, 3, 3, 3), "float32")])
