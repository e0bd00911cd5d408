"""Files by byte range, and tensors that lie in them in any order."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from filtercrawl.api.errors import ChangedError, CheckpointError, FormatError, TruncatedError, UnsafeFileError
from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.range_file import (
    READ_CHUNK_BYTES,
    FileSlice,
    LazyFile,
    MemoryFile,
    read_into,
    relative_path,
    sha256_of_bytes,
)
from filtercrawl.api.tensor_location import SliceBounds, TensorLocation, row_major


class Counted(MemoryFile):
    """Remembers how much was asked for, and how much at a time."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.total = self.largest = 0

    def read(self, offset: int, length: int) -> bytes:
        self.total += length
        self.largest = max(self.largest, length)
        return super().read(offset, length)


@st.composite
def views(draw: st.DrawFn) -> tuple[TensorLocation, np.ndarray, SliceBounds]:
    """A strided view of a file, the same view in numpy, and a box in it."""
    shape = tuple(draw(st.lists(st.integers(1, 5), max_size=5)))
    strides = list(row_major(shape))
    if draw(st.booleans()):
        strides = [stride * draw(st.sampled_from([1, 1, 2, 3])) for stride in draw(st.permutations(strides))]
    if draw(st.booleans()) and strides:
        strides[draw(st.integers(0, len(strides) - 1))] = 0
    offset = draw(st.integers(0, 9))
    span = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    numbers = np.arange(span, dtype="<f4")
    extent = TensorLocation(
        file=Counted(bytes(offset) + numbers.tobytes()),
        offset=offset,
        dtype="float32",
        shape=shape,
        strides=tuple(strides),
    )
    expected = as_strided(numbers, shape, [4 * stride for stride in strides])
    box = []
    for size in shape:
        start = draw(st.integers(0, size))
        box.append((start, draw(st.integers(start, size))))
    return extent, expected, tuple(box)


@settings(max_examples=300, deadline=None)
@given(views())
def test_a_box_is_what_numpy_gives(view: tuple[TensorLocation, np.ndarray, SliceBounds]) -> None:
    extent, expected, box = view
    part = expected[tuple(slice(start, stop) for start, stop in box)]
    raw = extent.read(box)
    assert raw.shape == (*part.shape, 4)
    assert raw.tobytes() == np.ascontiguousarray(part).tobytes()
    # No byte twice, and few between scattered elements.
    assert extent.file.total <= min(4 * extent.span(box), 4096 * part.size)  # type: ignore[attr-defined]  # a Counted


@pytest.mark.parametrize("strides", [(9, 3, 1), (1, 300_000, 900_000), (3, 900_000, 1)])
def test_much_is_read_in_pieces(strides: tuple[int, ...]) -> None:
    shape = (300_000, 3, 3)
    numbers = np.arange(2_700_000, dtype="<f4")
    file = Counted(numbers.tobytes())
    extent = TensorLocation(file=file, offset=0, dtype="float32", shape=shape, strides=strides)
    raw = extent.read(tuple((0, size) for size in shape))
    expected = as_strided(numbers, shape, [4 * stride for stride in strides])
    assert raw.tobytes() == np.ascontiguousarray(expected).tobytes()
    assert file.largest <= READ_CHUNK_BYTES
    assert file.total <= 2 * numbers.nbytes


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((2, 3), (3, 1), 1), ((2, 4), (), 0), ((1 << 40, 1 << 40), (), 0), ((3, 3), (1 << 60, 1), 0), ((7,), (), 0)],
)
def test_a_view_beyond_its_file_is_refused(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> None:
    with pytest.raises(TruncatedError, match=r"^<memory>: is cut off or damaged: it declares .*; fetch it again$"):
        TensorLocation(file=MemoryFile(bytes(24)), offset=offset, dtype="float32", shape=shape, strides=strides)


@pytest.mark.parametrize("strides", [(1,), (-1, 1), (1, 1, 1)])
def test_strides_that_fit_no_shape_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="strides"):
        TensorLocation(file=MemoryFile(bytes(24)), offset=0, dtype="float32", shape=(2, 3), strides=strides)


def test_an_empty_tensor_needs_no_bytes() -> None:
    extent = TensorLocation(file=MemoryFile(b""), offset=0, dtype="float64", shape=(3, 0, 5))
    assert extent.read(((0, 3), (0, 0), (0, 5))).shape == (3, 0, 5, 8)


@given(st.binary(max_size=50), st.integers(-5, 60), st.integers(-5, 60))
def test_a_read_gives_exactly_the_bytes_or_raises(data: bytes, offset: int, length: int) -> None:
    sound = offset >= 0 and length >= 0 and offset + length <= len(data)
    for file in (MemoryFile(data), LazyFile(len(data), lambda: data, "x")):
        if sound:
            assert file.read(offset, length) == data[offset : offset + length]
        else:
            with pytest.raises(TruncatedError):
                file.read(offset, length)


def test_a_decoder_that_gives_another_length_is_refused() -> None:
    with pytest.raises(TruncatedError, match="decodes to 2 bytes, but 3 were declared"):
        LazyFile(3, lambda: b"ab", "x").read(0, 1)


def test_a_local_file_notices_every_change(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with LocalFile(path) as file:
        assert file.read(2, 3) == b"234"
        assert file.bytes_read == 3
        file.check_unchanged()
        os.truncate(path, 4)
        with pytest.raises(ChangedError, match="truncated"):
            file.read(2, 5)
        with pytest.raises(ChangedError, match="run again"):
            file.check_unchanged()
    with LocalFile(path) as file:
        path.unlink()
        with pytest.raises(ChangedError):
            file.check_unchanged()
        path.write_bytes(b"0123")
        with pytest.raises(ChangedError):
            file.check_unchanged()
    with pytest.raises(CheckpointError, match="no: No such file"):
        LocalFile(tmp_path / "no")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10), st.booleans()), max_size=20))
def test_a_byte_counts_once_however_often_it_is_read(reads: list[tuple[int, int, bool]]) -> None:
    counted: set[int] = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(bytes(50))
        with LocalFile(path) as file:
            for offset, length, counts in reads:
                with nullcontext() if counts else file.uncounted():
                    file.read(offset, length)
                if counts:
                    counted.update(range(offset, offset + length))
                assert file.bytes_read == len(counted)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\\..\\x", "C:x", "file:x", "a\0b", ".."])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(UnsafeFileError, match="never followed"):
        relative_path(path)


@given(st.text(max_size=30))
def test_a_path_that_is_taken_stays_inside(path: str) -> None:
    try:
        taken = relative_path(path)
    except UnsafeFileError:
        return
    inside = Path("/root/of/checkpoint")
    assert Path(os.path.normpath(inside / taken)).is_relative_to(inside)


@given(st.binary(max_size=50), st.integers(-5, 60), st.integers(0, 60))
def test_memory_is_filled_with_exactly_the_bytes(data: bytes, offset: int, length: int) -> None:
    """By a file that can read into memory, and by one that only returns bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(b"before" + data)
        with LocalFile(path) as file:
            for part in (FileSlice(file, 6, len(data)), MemoryFile(data)):
                target = bytearray(length)
                if offset >= 0 and offset + length <= len(data):
                    read_into(part, offset, memoryview(target))
                    assert target == data[offset : offset + length]
                    assert sha256_of_bytes(part, offset, offset + length) == hashlib.sha256(target).hexdigest()
                elif length:
                    with pytest.raises(TruncatedError):
                        read_into(part, offset, memoryview(target))


def test_a_file_cut_short_while_memory_is_filled_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(10))
    with LocalFile(path) as file:
        os.truncate(path, 5)
        with pytest.raises(ChangedError, match="was truncated"):
            file.read_into(0, memoryview(bytearray(10)))
        assert file.bytes_read == 0
