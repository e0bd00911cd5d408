"""Protobuf messages walked field by field."""

from __future__ import annotations

import struct

import pytest

from filtercrawl.api.errors import FormatError, TruncatedError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.protobuf import WireReader, wire
from support.recording_file import WantedFile


def reader(data: bytes) -> WireReader:
    file = MemoryFile(data, "model.onnx")
    return WireReader(file, Budget(file))


def test_all_wire_types() -> None:
    data = b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d" + struct.pack("<f", 1.5) + b"\x21" + struct.pack("<d", 2.5)
    fields = list(reader(data).fields(0, len(data)))
    assert [(field.number, field.wire_type, field.value) for field in fields] == [
        (1, wire.VARINT, 150), (2, wire.LEN, 0), (3, wire.I32, 0), (4, wire.I64, 0),
    ]  # fmt: skip
    assert [data[field.start : field.end] for field in fields[1:]] == [b"hi", data[8:12], data[13:21]]


def test_integers_single_and_packed() -> None:
    data = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + b"\x12\x03\x01\x96\x01"
    walk = reader(data)
    single, packed = walk.fields(0, len(data))
    assert list(walk.read_integers(single)) == [-1]
    assert list(walk.read_integers(packed)) == [1, 150]


def test_invalid_utf8_is_escaped() -> None:
    walk = reader(b"\x0a\x02a\xff")
    (field,) = walk.fields(0, 4)
    assert walk.read_text(field) == "a\\xff"


def test_long_fields_are_skipped_without_being_read() -> None:
    long = 1 << 20
    data = b"\x0a\x80\x80\x40" + bytes(long) + b"\x10\x07"
    file = WantedFile(data)
    fields = list(WireReader(file, Budget(file)).fields(0, len(data)))
    assert [(field.number, field.value) for field in fields] == [(1, 0), (2, 7)]
    assert sum(stop - start for start, stop in file.reads) < 3 * wire.MIN_READ_BYTES


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0b", "wire type 3"),
        (b"\x00\x01", "field number 0"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "more than 64 bits"),
    ],
)
def test_invalid_encodings(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        list(reader(data).fields(0, len(data)))


def test_a_field_that_exceeds_its_message() -> None:
    with pytest.raises(FormatError, match="exceeds its message, which ends at byte 3"):
        list(reader(b"\x0a\x05hello").fields(0, 3))


@pytest.mark.parametrize("data", [b"\x0a\x05hell", b"\x0a", b"\x08\x80"])
def test_a_field_that_exceeds_the_file(data: bytes) -> None:
    with pytest.raises(TruncatedError, match="fetch it again"):
        list(reader(data).fields(0, 100))


def test_fields_are_paid_for() -> None:
    file = MemoryFile(b"\x08\x01" * 4 + b"\x10\x01", "model.onnx")
    budget = Budget(file)
    budget.steps = 5 * wire.FIELD_COST + wire.UNKNOWN_COST
    assert [field.number for field in WireReader(file, budget).fields(0, 10, {1})] == [1] * 4
    assert budget.steps == 0
    with pytest.raises(UnsafeFileError, match="steps of parsing"):
        next(WireReader(file, budget).fields(0, 10))


def test_signed() -> None:
    assert [wire.signed(value) for value in (0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)] == [
        0, (1 << 63) - 1, -(1 << 63), -1,
    ]  # fmt: skip


def test_fields_that_are_not_wanted_are_passed_over_and_paid_for() -> None:
    long = bytes(200)
    data = b"\x0a\x02hi" + b"\x12\x02ab" + b"\x12\xc8\x01" + long + b"\x18\x07" + b"\x22\x00" * 3
    file = MemoryFile(data, "model.onnx")
    budget = Budget(file)
    before = budget.steps
    found = [field.number for field in WireReader(file, budget).fields(0, len(data), known={1, 2, 3}, wanted={1})]
    assert found == [1, 3]  # of other wire types all are yielded, for the caller to check
    assert before - budget.steps == 7 * wire.FIELD_COST + 3 * wire.UNKNOWN_COST
    with pytest.raises(FormatError, match="exceeds its message, which ends at byte 3"):
        list(reader(b"\x12\x05hello").fields(0, 3, wanted={1}))
    with pytest.raises(TruncatedError, match="fetch it again"):
        list(reader(b"\x12").fields(0, 100, wanted={1}))
