"""Element types of less than a byte, and of bytes that torch has no numbers for: how their codes become numbers.

Several codes share a byte, the first in its lowest bits: https://onnx.ai/onnx/technical/int4.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray


class PackedType(NamedTuple):
    """A packed element type.

    Attributes:
        bits: Bits of a code.
        dtype: Dtype of the decoded numbers.
        numbers: The number that each code means.
    """

    bits: int
    dtype: str
    numbers: NDArray[np.int8 | np.uint8 | np.float32]

    def n_bytes(self, count: int) -> int:
        """Return how many bytes `count` elements take."""
        return -(-count * self.bits // 8)

    def decode(self, packed: bytes, count: int) -> bytes:
        """Return `count` elements as little-endian bytes of `dtype`."""
        per_byte = 8 // self.bits
        shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(self.bits)
        codes = np.frombuffer(packed, np.uint8)[:, None] >> shifts & np.uint8((1 << self.bits) - 1)
        return bytes(self.numbers[codes.reshape(-1)[:count]].tobytes())


def _signed(bits: int) -> PackedType:
    codes = np.arange(1 << bits)
    return PackedType(bits, "int8", np.where(codes < 1 << (bits - 1), codes, codes - (1 << bits)).astype("i1"))


def _exponents() -> NDArray[np.float32]:
    """Return the powers of two of float8_e8m0fnu, whose code is the biased exponent; the last code is NaN."""
    return np.append(np.ldexp(np.float64(1), np.arange(255) - 127), np.nan).astype("<f4")


_E2M1: Final = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], "<f4")

PACKED_TYPES: Final[Mapping[str, PackedType]] = {
    "uint4": PackedType(4, "uint8", np.arange(16, dtype="u1")),
    "int4": _signed(4),
    "uint2": PackedType(2, "uint8", np.arange(4, dtype="u1")),
    "int2": _signed(2),
    "float4_e2m1": PackedType(4, "float32", np.concatenate([_E2M1, -_E2M1])),
    "float8_e8m0fnu": PackedType(8, "float32", _exponents()),
}
