"""Kernels in the order of any framework are seen in the order of torch, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import FormatError
from filtercrawl.api.layout import Layout, arrange
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.tensor_location import TensorLocation

KERNELS = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def stored(array: np.ndarray, quantization: Quantization | None = None) -> StoredTensor:
    file = MemoryFile(np.ascontiguousarray(array).tobytes())
    location = TensorLocation(file=file, offset=0, dtype="float32", shape=array.shape)
    return StoredTensor(
        name="w", key="w", shape=array.shape, dtype="float32", location=location, quantization=quantization
    )


def numbers(tensor: StoredTensor) -> np.ndarray:
    assert tensor.location is not None
    assert tensor.location.shape == tensor.shape
    raw = tensor.location.read(tuple((0, size) for size in tensor.shape))
    return raw.reshape(-1).view("<f4").reshape(tensor.shape)


@given(st.sampled_from(Layout), st.integers(1, 5), st.integers(1, 5), KERNELS, st.booleans())
def test_every_layout_is_undone(layout: Layout, out: int, inputs: int, kernel: list[int], transposed: bool) -> None:
    letters = {"o": out, "i": inputs, "1": 1, "m": out}
    shape: list[int] = []
    for letter in layout.value:
        shape += kernel if letter == "k" else [letters[letter]]
    array = np.arange(np.prod(shape), dtype="<f4").reshape(shape)
    found = arrange(stored(array), layout, transposed=transposed)
    assert found.layout == layout.value
    rank, names = len(kernel), layout.value.replace("k", "xyz"[: len(kernel)])
    if layout is Layout.KIM:  # one filter of one channel a row, the filters of a channel together
        expected = np.moveaxis(array, (rank, rank + 1), (0, 1)).reshape(inputs * out, 1, *kernel)
    else:
        order = "oi" if "i" in names else "o1"
        target = (order[::-1] if transposed else order) + "xyz"[:rank]
        expected = np.einsum(f"{names.replace('1', 'u')}->{target.replace('1', 'u')}", array)
    assert found.shape == expected.shape
    assert numbers(found).tobytes() == np.ascontiguousarray(expected).tobytes()


def test_the_axis_of_a_scale_moves_along() -> None:
    scales = Quantization(scale=(1.0, 2.0, 3.0), zero_point=(0,), axis=3)
    found = arrange(stored(np.zeros((2, 2, 5, 3), "<f4"), scales), Layout.KIO)
    assert found.shape == (3, 5, 2, 2)
    assert found.quantization == Quantization(scale=(1.0, 2.0, 3.0), zero_point=(0,), axis=0)


def test_what_no_view_can_show_is_refused() -> None:
    array = np.zeros((2, 2, 3, 4), "<f4")
    file = MemoryFile(array.tobytes())
    location = TensorLocation(file=file, offset=0, dtype="float32", shape=array.shape, strides=(1, 2, 4, 12))
    column_major = StoredTensor(name="w", key="w", shape=array.shape, dtype="float32", location=location)
    with pytest.raises(FormatError, match="column-major"):
        arrange(column_major, Layout.KIM)
    with pytest.raises(FormatError, match="2 axes"):
        arrange(stored(np.zeros((2, 2), "<f4")), Layout.KIO)
