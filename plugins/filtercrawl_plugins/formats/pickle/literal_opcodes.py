"""The opcodes of a pickle that push plain values: numbers, text, empty containers, things from the memo."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from filtercrawl_plugins.formats.pickle.machine import (
    LARGE_OBJECT_COST,
    OPCODE_HANDLERS,
    SMALL_OBJECT_COST,
    Machine,
    opcode,
)
from filtercrawl_plugins.formats.pickle.objects import PickledDict

# A whole number of more bytes is no size, offset or setting of anything.
LONG = 1024


def literal(code: bytes, make: Callable[[], object], cost: int = SMALL_OBJECT_COST) -> None:
    """Register an opcode that pushes a new, empty value."""

    def push(m: Machine) -> None:
        m.charge(cost)
        m.stack.append(make())

    OPCODE_HANDLERS[code[0]] = push


def number(code: bytes, form: str) -> None:
    """Register an opcode whose argument is a number in a fixed form."""
    layout = struct.Struct(form)

    def push(m: Machine) -> None:
        m.stack.append(layout.unpack(m.cursor.read(layout.size))[0])

    OPCODE_HANDLERS[code[0]] = push


def string(code: bytes, form: str, decode: Callable[[bytes], object]) -> None:
    """Register an opcode whose argument is its length, in a fixed form, and as many bytes."""
    layout = struct.Struct(form)

    def push(m: Machine) -> None:
        m.stack.append(decode(m.read_bytes(layout.unpack(m.cursor.read(layout.size))[0])))

    OPCODE_HANDLERS[code[0]] = push


def memo(get: bytes, put: bytes, form: str) -> None:
    """Register the two opcodes that use a memo number in a fixed form."""
    layout = struct.Struct(form)
    OPCODE_HANDLERS[get[0]] = lambda m: m.memo_get(layout.unpack(m.cursor.read(layout.size))[0])
    OPCODE_HANDLERS[put[0]] = lambda m: m.memo_put(layout.unpack(m.cursor.read(layout.size))[0])


def decode_unicode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


literal(b"N", lambda: None)
literal(b"\x88", lambda: True)
literal(b"\x89", lambda: False)
literal(b"]", list)
literal(b")", tuple)
literal(b"}", PickledDict, LARGE_OBJECT_COST)
literal(b"\x8f", list)
number(b"J", "<i")
number(b"K", "<B")
number(b"M", "<H")
number(b"G", ">d")
# The strings of Python 2 are bytes as often as text; who needs text decodes it.
string(b"T", "<I", bytes)
string(b"U", "<B", bytes)
string(b"B", "<I", bytes)
string(b"C", "<B", bytes)
string(b"\x8e", "<Q", bytes)
string(b"\x96", "<Q", bytes)
string(b"X", "<I", decode_unicode)
string(b"\x8c", "<B", decode_unicode)
string(b"\x8d", "<Q", decode_unicode)
memo(b"h", b"q", "<B")
memo(b"j", b"r", "<I")


@opcode(b"\x80")
def proto(m: Machine) -> None:
    if (version := m.cursor.read_byte()) > 5:
        raise ValueError(f"pickle protocol {version}")


@opcode(b"\x95")
def frame(m: Machine) -> None:
    (length,) = struct.unpack("<Q", m.cursor.read(8))
    if length > m.cursor.remaining:
        raise ValueError(f"a frame of {length} bytes, where {m.cursor.remaining} are left")


@opcode(b".")
def stop(m: Machine) -> None:
    m.stopped = True


def digits(m: Machine) -> bytes:
    line = m.cursor.read_line()
    if len(line) > LONG:
        raise ValueError(f"a number of {len(line)} digits")
    return line


@opcode(b"IL")
def decimal(m: Machine) -> None:
    line = digits(m)
    m.charge(SMALL_OBJECT_COST + len(line))
    m.stack.append({b"00": False, b"01": True}.get(line, int(line.rstrip(b"L"))))


@opcode(b"\x8a")
def long1(m: Machine) -> None:
    m.stack.append(int.from_bytes(m.read_bytes(m.cursor.read_byte()), "little", signed=True))


@opcode(b"\x8b")
def long4(m: Machine) -> None:
    (length,) = struct.unpack("<i", m.cursor.read(4))
    if not 0 <= length <= LONG:
        raise ValueError(f"a number of {length} bytes")
    m.stack.append(int.from_bytes(m.read_bytes(length), "little", signed=True))


@opcode(b"F")
def decimal_float(m: Machine) -> None:
    m.stack.append(float(digits(m)))


@opcode(b"S")
def quoted(m: Machine) -> None:
    line = m.cursor.read_line().strip()
    m.charge(SMALL_OBJECT_COST + len(line))
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise ValueError("a string without quotes")
    m.stack.append(ESCAPE.sub(unescape, line[1:-1]))


ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))", re.DOTALL)
ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def unescape(match: re.Match[bytes]) -> bytes:
    hexadecimal, octal, letter = match.groups()
    if letter is not None:
        return ESCAPES.get(letter, letter)
    return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8) & 255])


@opcode(b"V")
def raw_unicode(m: Machine) -> None:
    line = m.cursor.read_line()
    m.charge(SMALL_OBJECT_COST + 4 * len(line))
    m.stack.append(line.decode("raw-unicode-escape"))


@opcode(b"g")
def get_decimal(m: Machine) -> None:
    m.memo_get(int(digits(m)))


@opcode(b"p")
def put_decimal(m: Machine) -> None:
    m.memo_put(int(digits(m)))


@opcode(b"\x94")
def memoize(m: Machine) -> None:
    m.memo_put(len(m.memo))
