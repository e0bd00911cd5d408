"""A box of a lazy tensor is the box of the whole, whatever it is computed from, and costs what it needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.lazy_tensor import (
    LazyTensor,
    UnsupportedOperationError,
    arithmetic,
    bit_field,
    broadcast,
    cast,
    choose,
    concatenate,
    dequantize,
    elementwise,
    pad,
    permute,
    quantize,
    repeat,
    reshape,
    stored,
    take,
)
from support.recording_file import WantedFile


def leaf(array: np.ndarray) -> LazyTensor:
    location = TensorLocation(file=MemoryFile(array.tobytes()), offset=0, dtype=str(array.dtype), shape=array.shape)
    return stored(location)


NUMBERS = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype("f4")
CODES = np.random.default_rng(1).integers(-128, 128, (6, 4, 3, 3)).astype("i1")
SCALES = np.random.default_rng(2).random((6, 2, 1, 1)).astype("f4")

MADE: dict[str, tuple[LazyTensor, np.ndarray]] = {
    "permuted": (permute(cast(leaf(NUMBERS), "float64"), (3, 1, 0, 2)), NUMBERS.transpose(3, 1, 0, 2)),
    "reshaped view": (reshape(leaf(NUMBERS), (2, 3, 12, 3)), NUMBERS.reshape(2, 3, 12, 3)),
    "reshaped": (
        reshape(permute(leaf(NUMBERS), (1, 0, 3, 2)), (8, 9, 3)),
        NUMBERS.transpose(1, 0, 3, 2).reshape(8, 9, 3),
    ),
    "taken backwards": (take(leaf(NUMBERS), 1, range(3, -1, -2)), NUMBERS[:, ::-2]),
    "taken by step": (take(leaf(NUMBERS), 0, range(1, 6, 2)), NUMBERS[1::2]),
    "taken by list": (take(leaf(NUMBERS), 0, (5, 0, 5)), NUMBERS[[5, 0, 5]]),
    "concatenated": (
        concatenate((leaf(NUMBERS), leaf(NUMBERS[:, :1])), 1),
        np.concatenate([NUMBERS, NUMBERS[:, :1]], 1),
    ),
    "padded": (
        pad(leaf(NUMBERS), (0, 2, 0, 1), (1, 0, 0, 3), 0.5),
        np.pad(NUMBERS, ((0, 1), (2, 0), (0, 0), (1, 3)), constant_values=0.5),
    ),
    "chosen": (
        choose(leaf(CODES > 0), leaf(NUMBERS), leaf(SCALES[:, :1])),
        np.where(CODES > 0, NUMBERS, SCALES[:, :1]),
    ),
    "broadcast": (broadcast(leaf(NUMBERS[:1, :, :1]), (6, 4, 5, 3)), np.broadcast_to(NUMBERS[:1, :, :1], (6, 4, 5, 3))),
    "repeated": (repeat(leaf(NUMBERS), 1, 3, 10), np.repeat(NUMBERS, 3, 1)[:, :10]),
    "multiplied": (arithmetic("mul", leaf(NUMBERS), leaf(SCALES[:, :1])), NUMBERS * SCALES[:, :1]),
    "dequantized": (
        dequantize(leaf(CODES), repeat(leaf(SCALES), 1, 2, 4), leaf(np.int8(3).reshape(()))),
        (CODES.astype("f4") - 3) * np.repeat(SCALES, 2, 1),
    ),
    "bits": (cast(bit_field(leaf(CODES.view("u1")), 2, 4), "float32"), CODES.view("u1") >> 2 & 15),
    "quantized": (
        quantize(leaf(NUMBERS), leaf(SCALES[:, :1]), None, "int8"),
        np.clip(np.rint(NUMBERS / SCALES[:, :1]), -128, 127),
    ),
}


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_box_is_the_box_of_the_whole(name: str, data: st.DataObject) -> None:
    made, expected = MADE[name]
    assert made.shape == expected.shape
    box = []
    for size in made.shape:
        start = data.draw(st.integers(0, size - 1))
        box.append((start, data.draw(st.integers(start + 1, size))))
    wanted = expected[tuple(slice(*bounds) for bounds in box)].astype("f4")
    np.testing.assert_array_equal(made.read_float32(tuple(box)), wanted)


def test_reading_some_filters_reads_little_more_than_their_bytes() -> None:
    data = np.zeros((64, 16, 3, 3), "f4")
    file = WantedFile(data.tobytes())
    whole = stored(TensorLocation(file=file, offset=0, dtype="float32", shape=data.shape))
    turned = reshape(arithmetic("mul", whole, whole), (64, 144))
    assert turned.read(((8, 16), (0, 144))).shape == (8, 144)
    assert sum(stop - start for start, stop in file.reads) == 2 * data[8:16].nbytes


@pytest.mark.parametrize(
    "build",
    [
        lambda: permute(leaf(NUMBERS), (0, 0, 1, 2)),
        lambda: reshape(leaf(NUMBERS), (-6, -36)),
        lambda: take(leaf(NUMBERS), 0, (6,)),
        lambda: take(leaf(NUMBERS), 0, range(0)),
        lambda: concatenate((leaf(NUMBERS), leaf(CODES)), 0),
        lambda: pad(leaf(NUMBERS), (-1, 0, 0, 0), (0, 0, 0, 0)),
        lambda: pad(leaf(NUMBERS), (1, 1), (0, 0)),
        lambda: choose(leaf(CODES), leaf(NUMBERS), leaf(NUMBERS)),
        lambda: choose(leaf(CODES > 0), leaf(NUMBERS), leaf(CODES)),
        lambda: concatenate((leaf(NUMBERS), leaf(NUMBERS[:, :2])), 0),
        lambda: arithmetic("add", leaf(NUMBERS), leaf(NUMBERS[:5])),
        lambda: arithmetic("add", leaf(NUMBERS), leaf(NUMBERS.astype("f8"))),
        lambda: arithmetic("add", leaf(CODES), leaf(CODES)),
        lambda: cast(leaf(NUMBERS), "int8"),
        lambda: cast(leaf(NUMBERS), "int32"),
        lambda: cast(leaf(CODES.astype("i8")), "int32"),
        lambda: dequantize(leaf(NUMBERS), leaf(SCALES)),
        lambda: dequantize(leaf(CODES), leaf(CODES)),
        lambda: quantize(leaf(NUMBERS), leaf(np.float16(1).reshape(())), None, "int8"),
        lambda: repeat(leaf(SCALES), 1, 5, 4),
        lambda: reshape(broadcast(leaf(NUMBERS), (2**20, 6, 4, 3, 3)), (6 * 2**20, 36)),
        lambda: stored(TensorLocation(file=MemoryFile(b"\0" * 8), offset=0, dtype="complex64", shape=(1,))),
    ],
)
def test_operands_that_do_not_fit_are_refused_when_the_tensor_is_built(build: Callable[[], LazyTensor]) -> None:
    with pytest.raises(UnsupportedOperationError):
        build()


def test_codes_with_few_scales_may_have_any_size() -> None:
    codes = np.ones((512, 512, 3, 3), "i1")
    weight = dequantize(leaf(codes), leaf(np.full((512, 1, 1, 1), 0.5, "f4")), leaf(np.int8(0).reshape(())))
    assert weight.read(((3, 4), (5, 6), (0, 3), (0, 3))).unique().tolist() == [0.5]


def test_a_slice_of_a_repeated_tensor_is_built_without_its_indices() -> None:
    huge = take(broadcast(leaf(NUMBERS), (2**50, 6, 4, 3, 3)), 0, range(0, 2**50, 2))
    box = ((2**49 - 1, 2**49), (0, 6), (0, 4), (0, 3), (0, 3))
    np.testing.assert_array_equal(huge.read_float32(box)[0], NUMBERS)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_elements_are_rounded_once_however_many_there_are(dtype: str) -> None:
    generator = np.random.default_rng(0)
    a, b = (generator.uniform(0.01, 100, 50_000).astype(dtype) for _ in range(2))
    one, other = leaf(a), leaf(b)
    for made, expected in (
        (elementwise("sqrt", one), np.sqrt(a)),
        (elementwise("reciprocal", one), 1 / a),
        (elementwise("round", one), np.rint(a)),
        (arithmetic("div", one, other), a / b),
        (arithmetic("mul", one, other), a * b),
        (arithmetic("add", one, other), a + b),
        (arithmetic("sub", one, other), a - b),
    ):
        np.testing.assert_array_equal(made.read_all().numpy(), expected)


def test_equal_computations_are_equal_and_others_are_not() -> None:
    number = leaf(NUMBERS)
    assert permute(number, (1, 0, 2, 3)) == permute(number, (1, 0, 2, 3))
    assert hash(cast(number, "float16")) == hash(cast(number, "float16"))
    assert permute(number, (1, 0, 2, 3)) != permute(number, (0, 1, 3, 2))
    assert permute(number, (1, 0, 2, 3)) != permute(leaf(NUMBERS), (1, 0, 2, 3))
    assert permute(permute(number, (1, 0, 2, 3)), (1, 0, 2, 3)) == number


def test_16_bit_codes_without_a_sign_are_computed_with() -> None:
    codes = np.array([0, 1, 65535], "u2")
    made = dequantize(leaf(codes), leaf(np.float32(0.5).reshape(())), leaf(np.uint16(65535).reshape(())))
    assert made.read_all().dtype == torch.float32
    assert made.read_all().tolist() == [-32767.5, -32767.0, 0.0]
