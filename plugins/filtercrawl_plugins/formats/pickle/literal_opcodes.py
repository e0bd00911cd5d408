"""Handlers of the opcodes that push plain values: numbers, strings, empty containers, objects from the memo."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

from filtercrawl_plugins.formats.budget import MAX_NAME_LENGTH
from filtercrawl_plugins.formats.pickle.interpreter import (
    LARGE_OBJECT_COST,
    NUMBER_COST,
    OPCODE_HANDLERS,
    SMALL_OBJECT_COST,
    Machine,
    opcode,
)
from filtercrawl_plugins.formats.pickle.objects import PickledBytes, PickledDict

# Bytes or digits of an integer; no size, offset or setting in a checkpoint is longer.
MAX_INTEGER_LENGTH: Final = 1024


def _register_constant(code: bytes, make: Callable[[], object], cost: int = SMALL_OBJECT_COST) -> None:
    """Register an opcode without argument that pushes a constant or a new, empty container."""

    def push(machine: Machine) -> None:
        machine.charge(cost)
        machine.stack.append(make())

    OPCODE_HANDLERS[code[0]] = push


def _register_number(code: bytes, number_format: str) -> None:
    """Register an opcode whose argument is a number in a `struct` format."""
    layout = struct.Struct(number_format)

    def push(machine: Machine) -> None:
        machine.charge(NUMBER_COST)
        machine.stack.append(layout.unpack(machine.cursor.read(layout.size))[0])

    OPCODE_HANDLERS[code[0]] = push


def _register_string(code: bytes, length_format: str, decode: Callable[[bytes], object]) -> None:
    """Register an opcode whose argument is a length in a `struct` format, followed by as many bytes.

    Strings that are too long for a name are located and not read: they are the numbers of arrays.
    """
    layout = struct.Struct(length_format)

    def push(machine: Machine) -> None:
        (length,) = layout.unpack(machine.cursor.read(layout.size))
        if length <= MAX_NAME_LENGTH:
            machine.stack.append(decode(machine.read_bytes(length)))
            return
        machine.charge(LARGE_OBJECT_COST)
        cursor = machine.cursor
        located = PickledBytes(cursor.file, cursor.position, length, machine.text if decode is decode_unicode else None)
        cursor.skip(length)
        machine.stack.append(located)

    OPCODE_HANDLERS[code[0]] = push


def _register_memo(get: bytes, put: bytes, index_format: str) -> None:
    """Register a pair of opcodes whose argument is a memo index in a `struct` format."""
    layout = struct.Struct(index_format)
    OPCODE_HANDLERS[get[0]] = lambda machine: machine.memo_get(layout.unpack(machine.cursor.read(layout.size))[0])
    OPCODE_HANDLERS[put[0]] = lambda machine: machine.memo_put(layout.unpack(machine.cursor.read(layout.size))[0])


def decode_unicode(data: bytes) -> str:
    """Decode a pickled string; pickle encodes lone surrogates as well."""
    return data.decode("utf-8", "surrogatepass")


_register_constant(b"N", lambda: None)  # NONE
_register_constant(b"\x88", lambda: True)  # NEWTRUE
_register_constant(b"\x89", lambda: False)  # NEWFALSE
_register_constant(b"]", list)  # EMPTY_LIST
_register_constant(b")", tuple)  # EMPTY_TUPLE
_register_constant(b"}", PickledDict, LARGE_OBJECT_COST)  # EMPTY_DICT
_register_constant(b"\x8f", list)  # EMPTY_SET
_register_number(b"J", "<i")  # BININT
_register_number(b"K", "<B")  # BININT1
_register_number(b"M", "<H")  # BININT2
_register_number(b"G", ">d")  # BINFLOAT
# Strings of Python 2 may hold text or binary data, so they stay bytes here.
_register_string(b"T", "<I", bytes)  # BINSTRING
_register_string(b"U", "<B", bytes)  # SHORT_BINSTRING
_register_string(b"B", "<I", bytes)  # BINBYTES
_register_string(b"C", "<B", bytes)  # SHORT_BINBYTES
_register_string(b"\x8e", "<Q", bytes)  # BINBYTES8
_register_string(b"\x96", "<Q", bytes)  # BYTEARRAY8
_register_string(b"X", "<I", decode_unicode)  # BINUNICODE
_register_string(b"\x8c", "<B", decode_unicode)  # SHORT_BINUNICODE
_register_string(b"\x8d", "<Q", decode_unicode)  # BINUNICODE8
_register_memo(b"h", b"q", "<B")  # BINGET, BINPUT
_register_memo(b"j", b"r", "<I")  # LONG_BINGET, LONG_BINPUT


@opcode(b"\x80")
def proto(machine: Machine) -> None:
    """PROTO: check the protocol version."""
    if (version := machine.cursor.read_byte()) > 5:
        raise ValueError(f"protocol {version}; 5 is the highest that is supported")


@opcode(b"\x95")
def frame(machine: Machine) -> None:
    """FRAME: check the length of the frame, which is otherwise ignored."""
    (length,) = struct.unpack("<Q", machine.cursor.read(8))
    if length > machine.cursor.remaining:
        raise ValueError(f"a frame claims {length} bytes, {machine.cursor.remaining} are left")


@opcode(b".")
def stop(machine: Machine) -> None:
    """STOP."""
    machine.stopped = True


def _read_digits(machine: Machine) -> bytes:
    """Read a line that holds a number in decimal digits."""
    line = machine.cursor.read_line()
    if len(line) > MAX_INTEGER_LENGTH:
        raise ValueError(f"an integer of {len(line)} digits")
    return line


@opcode(b"IL")
def decimal(machine: Machine) -> None:
    """INT, LONG: an integer in decimal digits; `00` and `01` are booleans."""
    line = _read_digits(machine)
    machine.charge(SMALL_OBJECT_COST + len(line))
    machine.stack.append({b"00": False, b"01": True}.get(line, int(line.rstrip(b"L"))))


@opcode(b"\x8a")
def long1(machine: Machine) -> None:
    """LONG1: an integer of up to 255 bytes, two's complement."""
    machine.stack.append(int.from_bytes(machine.read_bytes(machine.cursor.read_byte()), "little", signed=True))


@opcode(b"\x8b")
def long4(machine: Machine) -> None:
    """LONG4: an integer with a 4-byte length."""
    (length,) = struct.unpack("<i", machine.cursor.read(4))
    if not 0 <= length <= MAX_INTEGER_LENGTH:
        raise ValueError(f"an integer of {length} bytes")
    machine.stack.append(int.from_bytes(machine.read_bytes(length), "little", signed=True))


@opcode(b"F")
def decimal_float(machine: Machine) -> None:
    """FLOAT: a float in decimal digits."""
    machine.stack.append(float(_read_digits(machine)))


@opcode(b"S")
def quoted(machine: Machine) -> None:
    """STRING: a quoted byte string with escapes."""
    line = machine.cursor.read_line().strip()
    machine.charge(SMALL_OBJECT_COST + len(line))
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise ValueError("a string without quotes")
    machine.stack.append(_ESCAPE.sub(_unescape, line[1:-1]))


_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def _unescape(match: re.Match[bytes]) -> bytes:
    hexadecimal, octal, letter = match.groups()
    if letter is not None:
        return _ESCAPES.get(letter, letter)
    return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8) & 255])


@opcode(b"V")
def raw_unicode(machine: Machine) -> None:
    """UNICODE: text as raw-unicode-escape."""
    line = machine.cursor.read_line()
    machine.charge(SMALL_OBJECT_COST + 4 * len(line))
    machine.stack.append(line.decode("raw-unicode-escape"))


@opcode(b"g")
def get_decimal(machine: Machine) -> None:
    """GET: read the memo; the index is in decimal digits."""
    machine.memo_get(int(_read_digits(machine)))


@opcode(b"p")
def put_decimal(machine: Machine) -> None:
    """PUT: write the memo; the index is in decimal digits."""
    machine.memo_put(int(_read_digits(machine)))


@opcode(b"\x94")
def memoize(machine: Machine) -> None:
    """MEMOIZE: write the next free memo index."""
    machine.memo_put(len(machine.memo))
