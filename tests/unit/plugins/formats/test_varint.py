"""Packed varints, decoded in chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.protobuf import ByteRange, decode_varints, varint


def encode(value: int) -> bytes:
    """Encode an integer as in the specification: seven bits per byte, least significant first."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def decode(data: bytes, count: int, dtype: str = "<u8") -> list[int]:
    out = np.zeros(count, dtype)
    decoded = decode_varints(MemoryFile(data), ByteRange(0, len(data)), out)
    return out[:decoded].tolist()


def test_examples_of_the_specification() -> None:
    assert decode(b"\x01\x96\x01", 2) == [1, 150]
    assert encode(-2) == b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"


@given(st.lists(st.integers(-(1 << 63), (1 << 64) - 1), min_size=1))
def test_any_64_bit_integers(values: list[int]) -> None:
    data = b"".join(map(encode, values))
    assert decode(data, len(values)) == [value & (1 << 64) - 1 for value in values]


def test_values_are_truncated_to_the_width_of_the_type() -> None:
    data = encode(-1) + encode(0x1234) + encode(0)
    assert decode(data, 3, "<u2") == [0xFFFF, 0x1234, 0]
    assert decode(data, 3, "?") == [True, True, False]


def test_varints_that_cross_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varint, "CHUNK_BYTES", 11)
    values = [1 << 63, 1, 300, 1 << 40, 5]
    assert decode(b"".join(map(encode, values)), 5) == values


@pytest.mark.parametrize("data", [b"\x80", b"\x01\x80\x80", b"\x01\x01\x01"], ids=["cut", "cut later", "too many"])
def test_counts_that_do_not_fit(data: bytes) -> None:
    with pytest.raises(FormatError, match="do not match the tensor's shape"):
        decode(data, 2)


def test_a_varint_of_more_than_ten_bytes() -> None:
    with pytest.raises(FormatError, match="more than 64 bits"):
        decode(b"\x80" * 10 + b"\x01", 1)
