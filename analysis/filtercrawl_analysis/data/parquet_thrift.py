"""Structs of Thrift's compact protocol, which the headers of Parquet pages are."""

from __future__ import annotations

from typing import Any, Final

_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 6, 7, 8, 12
# The header of a page has structs in structs in structs, and no more.
_DEEPEST: Final = 8


def parse_struct(data: bytes) -> tuple[dict[int, Any], int]:
    """Return the fields of the struct that `data` begins with, by number, and its length in bytes.

    Numbers are int, structs dict, text and doubles their bytes. Raises ValueError for what ends too soon and for
    lists, sets and maps, which headers of pages have none of.
    """
    reader = _Reader(data)
    try:
        found = reader.struct(0)
    except IndexError:
        raise ValueError("a struct that goes on after the end") from None
    return found, reader.at


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ValueError("structs in structs without end")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            # The number of a field is told by how far it lies from the one before.
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            found[number] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if _BYTE < kind <= _I64:
            return self._zigzag()
        if kind in (_DOUBLE, _BINARY):
            return self._bytes(8 if kind == _DOUBLE else self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ValueError(f"a field of kind {kind}")

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number of more than 64 bits")

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, length: int) -> bytes:
        if self.at + length > len(self._data):
            raise IndexError
        self.at += length
        return self._data[self.at - length : self.at]
