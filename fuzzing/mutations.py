"""Changes of inputs that keep what holds them together: checksums of archives, lengths of messages, opcodes of pickles.

Without these, nearly every change of an archive ends at its first checksum, and nothing behind it is ever reached.
"""

from __future__ import annotations

import io
import pickletools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Final

# Changes bytes without knowing what they are; the second argument is how many may come of it.
Change = Callable[[bytes, int], bytes]
Form = Callable[[bytes, Random, Change], bytes]

_MAX_OPCODES: Final = 4_096
_MAX_FIELDS: Final = 4_096
_NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_SPARSE: Final = 4
# What the libraries that take an input apart raise.
_NOT_OF_THE_FORM: Final = (
    ValueError, LookupError, OSError, RuntimeError, NotImplementedError, EOFError, OverflowError, struct.error,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def mutate(data: bytes, form: str, random: Random, change: Change, max_size: int) -> bytes:
    """Return a changed input; its form is kept three times of four, where it has it."""
    changed = b""
    if data and random.randrange(_SPARSE):
        try:
            changed = FORMS[form](data, random, change)
        except _NOT_OF_THE_FORM:
            changed = b""
    return changed[:max_size] if changed else change(data, max_size)


def random_change(random: Random, others: list[bytes]) -> Change:
    """Return a change that needs no fuzzing engine: bytes set, removed, doubled, or taken from another input."""

    def change(data: bytes, max_size: int) -> bytes:
        changed = bytearray(data or b"\0")
        for _ in range(random.choice((1, 1, 2, 4))):
            at = random.randrange(len(changed) + 1)
            length = min(random.choice((1, 1, 2, 4, 8, 32)), len(changed) - at)
            match random.randrange(6):
                case 0:
                    changed[at : at + length] = random.randbytes(length)
                case 1:
                    del changed[at : at + length]
                case 2:
                    changed[at:at] = changed[at : at + length]
                case 3:
                    width = random.choice((1, 2, 4, 8))
                    number = random.choice(_NUMBERS) & (1 << 8 * width) - 1
                    changed[at : at + width] = number.to_bytes(width, random.choice(("little", "big")))
                case 4 if others:
                    other = random.choice(others)
                    start = random.randrange(len(other) + 1)
                    changed[at : at + length] = other[start : start + random.choice((1, 8, 64))]
                case _ if at < len(changed):
                    changed[at] ^= 1 << random.randrange(8)
        return bytes(changed[:max_size])

    return change


def change_zip(data: bytes, random: Random, change: Change) -> bytes:
    """Change an entry of an archive, its name, or which entries there are; checksums and sizes fit again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()[:64]]
    at = random.randrange(len(entries))
    name, content, method = entries[at]
    kind = random.randrange(12)
    if kind == 0:
        del entries[at]
    elif kind == 1:
        entries.append((name, content, method))
    elif kind == 2:
        entries[at] = (change(name.encode(), 200).decode("utf-8", "replace"), content, method)
    elif kind == 3:
        entries[at] = (name, content, zipfile.ZIP_DEFLATED if method == zipfile.ZIP_STORED else zipfile.ZIP_STORED)
    else:
        # Most of the bytes may be numbers, which are read as they are: what describes them is as often changed.
        described = [index for index, entry in enumerate(entries) if not entry[0].rpartition("/")[2].isdecimal()]
        at = random.choice(described or [at])
        name, content, method = entries[at]
        inner = "pickle" if name.endswith(".pkl") else "bytes"
        entries[at] = (name, mutate(content, inner, random, change, len(content) + 256), method)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content, method in entries:
            archive.writestr(zipfile.ZipInfo(name.replace("\0", "_") or "_"), content, method)
    return buffer.getvalue()


def change_bytes(data: bytes, random: Random, change: Change) -> bytes:  # noqa: ARG001 - as the others
    """Change bytes of an input that has no form."""
    return change(data, len(data) + 256)


def change_safetensors(data: bytes, random: Random, change: Change) -> bytes:  # noqa: ARG001
    """Change the header of a safetensors file, and state its length."""
    length = min(int.from_bytes(data[:8], "little"), max(len(data) - 8, 0))
    header = change(data[8 : 8 + length], length + 256)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def change_pickle(data: bytes, random: Random, change: Change) -> bytes:
    """Remove, repeat, move or change opcodes of a pickle, or of several in a row."""
    places = [0]
    try:
        while places[-1] < len(data) and len(places) < _MAX_OPCODES:
            start = places[-1]
            places += [start + place for _, _, place in pickletools.genops(data[start:]) if place]  # type: ignore[misc]
            places.append(places[-1] + 1)
    except ValueError:  # the rest is no pickle, and stays
        pass
    if len(places) < 2:
        raise ValueError("no opcodes")
    at = random.randrange(len(places) - 1)
    length = random.choice((1, 1, 1, 2, 8))
    start, stop = places[at], places[min(at + length, len(places) - 1)]
    other = random.randrange(len(places) - 1)
    match random.randrange(4):
        case 0:
            return data[:start] + data[stop:]
        case 1:
            return data[: places[other]] + data[start:stop] + data[places[other] :]
        case 2:
            return data[:start] + data[places[other] : places[other + 1]] + data[stop:]
        case _:
            return data[:start] + change(data[start:stop], stop - start + 64) + data[stop:]


def change_protobuf(data: bytes, random: Random, change: Change) -> bytes:
    """Change a field somewhere in a message, or which fields there are; the lengths around it fit again."""
    fields = _fields(data)
    at = random.randrange(len(fields))
    tag, payload, is_long = fields[at]
    kind = random.randrange(10)
    if kind == 0:
        del fields[at]
    elif kind == 1:
        fields.insert(random.randrange(len(fields) + 1), fields[at])
    elif kind == 2:
        fields[at] = (random.choice(fields)[0] & ~7 | tag & 7, payload, is_long)
    elif not is_long:
        number = random.choice((random.randrange(64), *_NUMBERS))
        fields[at] = (tag, payload if tag & 7 else _varint(number), False)
    else:
        changed = b""
        if random.randrange(_SPARSE):
            try:
                changed = change_protobuf(payload, random, change)
            except (ValueError, IndexError):
                changed = b""
        fields[at] = (tag, changed or change(payload, len(payload) + 256), True)
    return b"".join(
        _varint(tag) + (_varint(len(payload)) if is_long else b"") + payload for tag, payload, is_long in fields
    )


def _fields(data: bytes) -> list[tuple[int, bytes, bool]]:
    """Return the fields of a message: tag, payload, and whether a length is stated; raises ValueError."""
    fields: list[tuple[int, bytes, bool]] = []
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        wire_type = tag & 7
        if wire_type == 0:
            _, stop = _read_varint(data, position)
        elif wire_type == 2:
            length, position = _read_varint(data, position)
            stop = position + length
        elif wire_type in (1, 5):
            stop = position + (8 if wire_type == 1 else 4)
        else:
            raise ValueError("no message")
        if not tag >> 3 or stop > len(data) or len(fields) > _MAX_FIELDS:
            raise ValueError("no message")
        fields.append((tag, data[position:stop], wire_type == 2))
        position = stop
    if not fields:
        raise ValueError("no fields")
    return fields


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(10):
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("no varint")


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))


FORMS: Final[dict[str, Form]] = {
    "bytes": change_bytes,
    "zip": change_zip,
    "safetensors": change_safetensors,
    "pickle": change_pickle,
    "protobuf": change_protobuf,
}
