"""A minimal parser of Thrift's compact protocol, in which the headers of Parquet pages are written."""

from __future__ import annotations

from typing import Any, Final

_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 6, 7, 8, 12
# The header of a page nests structs three deep.
_MAX_DEPTH: Final = 8


def parse_struct(data: bytes) -> tuple[dict[int, Any], int]:
    """Parse the struct at the start of `data`.

    Args:
        data: Bytes that begin with a struct in compact protocol.

    Returns:
        Its fields by number, and its length in bytes. Integers are int, structs dict, strings and doubles their bytes.

    Raises:
        ValueError: The data ends too soon, or holds a list, set or map, which headers of pages do not have.
    """
    parser = _Parser(data)
    try:
        fields = parser.struct(0)
    except IndexError:
        raise ValueError("the data ends within a Thrift struct") from None
    return fields, parser.position


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError(f"Thrift structs are nested deeper than {_MAX_DEPTH}")
        fields: dict[int, Any] = {}
        number = 0
        while header := self._byte():
            # The upper half of the header is the difference to the previous field number, or 0 if that follows.
            number = number + (header >> 4) if header >> 4 else self._zigzag()
            fields[number] = self._value(header & 15, depth)
        return fields

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
        raise ValueError(f"unsupported Thrift field type {kind}")

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
        raise ValueError("a Thrift integer of more than 64 bits")

    def _byte(self) -> int:
        self.position += 1
        return self._data[self.position - 1]

    def _bytes(self, length: int) -> bytes:
        if self.position + length > len(self._data):
            raise IndexError
        self.position += length
        return self._data[self.position - length : self.position]
