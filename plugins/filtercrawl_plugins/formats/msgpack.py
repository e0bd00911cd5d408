"""Nested maps and arrays of MessagePack, read step by step: long strings and extensions are located, not read.

Specification: https://github.com/msgpack/msgpack/blob/master/spec.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.cursor import Cursor

MAX_DEPTH: Final = 100
# Steps of a value or a key.
ITEM_COST: Final = 4
# Characters of a key; longer strings are values.
MAX_KEY_BYTES: Final = 4096

# Bytes of the length that follows a code: strings, binary data, extensions, arrays, maps.
_STRINGS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BINARIES: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_EXTENSIONS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_NUMBERS: Final = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i",
    0xD3: ">q",
}  # fmt: skip
_CONSTANTS: Final = {0xC0: None, 0xC2: False, 0xC3: True}


@dataclass(frozen=True, slots=True)
class Bytes:
    """Binary data or the content of an extension, located in the file.

    Attributes:
        start: Offset of the first byte.
        length: Number of bytes.
        kind: Type of the extension, None for binary data.
    """

    start: int
    length: int
    kind: int | None = None


@dataclass(slots=True)
class _Container:
    """A map or an array that is being read."""

    path: tuple[str, ...]
    remaining: int
    is_map: bool
    position: int = field(default=0)


class MessagePackReader:
    """Reads one object of a file, from an offset on, within a budget."""

    def __init__(self, file: RandomAccessFile, budget: Budget, start: int = 0, stop: int | None = None) -> None:
        self.cursor = Cursor(file, start, stop, "a MessagePack object")
        self._budget = budget

    def leaves(self) -> Iterator[tuple[tuple[str, ...], object]]:
        """Yield every value that is no map or array, with the keys and indices that lead to it.

        Raises:
            FormatError: A code is invalid, or a key is not text or a number.
            TruncatedError: The file ends too early.
            UnsafeFileError: The object is nested too deeply, or the budget is exhausted.
        """
        stack: list[_Container] = []
        value = self._value(())
        if not isinstance(value, _Container):
            yield (), value
            return
        stack.append(value)
        while stack:
            top = stack[-1]
            if not top.remaining:
                stack.pop()
                continue
            top.remaining -= 1
            path = (*top.path, self._key() if top.is_map else str(top.position))
            top.position += 1
            value = self._value(path)
            if not isinstance(value, _Container):
                yield path, value
            elif len(stack) == MAX_DEPTH:
                raise UnsafeFileError(f"{self.cursor.file.name}: nested deeper than {MAX_DEPTH} levels")
            else:
                stack.append(value)

    def _key(self) -> str:
        key = self._value(())
        if not isinstance(key, str | int):
            raise FormatError(f"{self.cursor.file.name}: the key of a map is neither text nor a number")
        return str(key)

    def _value(self, path: tuple[str, ...]) -> object:
        cursor = self.cursor
        self._budget.spend(ITEM_COST)
        code = cursor.read_byte()
        if code < 0xC0 or code >= 0xE0:
            return self._short(code, path)
        if code in _CONSTANTS:
            return _CONSTANTS[code]
        if code in _NUMBERS:
            layout = _NUMBERS[code]
            return struct.unpack(layout, cursor.read(struct.calcsize(layout)))[0]
        if code in _ARRAYS or code in _MAPS:
            is_map = code in _MAPS
            return _Container(path, self._length((_MAPS if is_map else _ARRAYS)[code]), is_map=is_map)
        if code in _STRINGS:
            return self._text(self._length(_STRINGS[code]))
        if code in _BINARIES:
            return self._located(self._length(_BINARIES[code]), None)
        if code in _EXTENSIONS or code in _FIXED_EXTENSIONS:
            length = _FIXED_EXTENSIONS.get(code) or self._length(_EXTENSIONS[code])
            return self._located(length, cursor.read_byte())
        raise FormatError(f"{cursor.file.name}: invalid MessagePack code 0x{code:02x} before byte {cursor.position}")

    def _short(self, code: int, path: tuple[str, ...]) -> object:
        """Return a value whose code holds its length, or the number itself."""
        if code >= 0xE0:
            return code - 0x100
        if code < 0x80:
            return code
        return _Container(path, code & 0x0F, is_map=code < 0x90) if code < 0xA0 else self._text(code & 0x1F)

    def _length(self, size: int) -> int:
        return int.from_bytes(self.cursor.read(size), "big")

    def _text(self, length: int) -> object:
        if length > MAX_KEY_BYTES:
            return self._located(length, None)
        return self.cursor.read(length).decode("utf-8", "backslashreplace")

    def _located(self, length: int, kind: int | None) -> Bytes:
        located = Bytes(self.cursor.position, length, kind)
        self.cursor.skip(length)
        return located
