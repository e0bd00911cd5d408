"""Torch files that try to do harm: run commands, exhaust memory or time, or lie about what they hold.

`PAYLOADS` hold one sound tensor, `weight`, beside what would create the file at the path they are given; `BOMBS`
hold nothing that could be read. Both are names to functions that take that path and return a file.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

Maker = Callable[[Path], bytes]

MAGIC = 0x1950A86A20F9469CFC6C
WEIGHT = bytes(range(36))


def short(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def storage(numel: bytes = b"K\x09", kind: str = "FloatStorage", key: str = "0") -> bytes:
    """Opcodes that push a storage of nine numbers by its persistent id."""
    return b"(" + short("storage") + f"ctorch\n{kind}\n".encode() + short(key) + short("cpu") + numel + b"tQ"


def tensor(
    shape: bytes = b"K\x01K\x01K\x03K\x03t", strides: bytes = b"K\x09K\x09K\x03K\x01t", **place: object
) -> bytes:
    """Opcodes that push a tensor of shape [1, 1, 3, 3]."""
    offset = place.pop("offset", b"K\x00")
    assert isinstance(offset, bytes)
    held = storage(**place)  # type: ignore[arg-type]  # the names of its arguments
    call = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return call + held + offset + b"(" + shape + b"(" + strides + b"\x89}tR"


def zipped(opcodes: bytes, *, extra: tuple[tuple[str, bytes], ...] = (), method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive as torch writes it, of one pickle and one storage."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in (
            ("archive/data.pkl", b"\x80\x02" + opcodes + b"."),
            ("archive/data/0", WEIGHT),
            *extra,
        ):
            archive.writestr(name, data)
    return buffer.getvalue()


def legacy(opcodes: bytes, *, keys: tuple[str, ...] = ("0",)) -> bytes:
    """A stream of pickles as torch wrote it before, of one object and one storage."""
    system = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    head = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, system))
    body = b"\x80\x02" + opcodes + b"." + pickle.dumps(list(keys), 2)
    return head + body + b"".join(struct.pack("<q", 9) + WEIGHT for _ in keys)


def beside(opcodes: bytes) -> bytes:
    """A mapping of a sound tensor and of what the opcodes push."""
    return b"}(" + short("evil") + opcodes + short("weight") + tensor() + b"u"


def touch(marker: Path) -> bytes:
    return short(f"touch '{marker}'")


def write(marker: Path) -> bytes:
    return short(f"open({str(marker)!r}, 'w').close()")


def dumped(marker: Path, *chain: Callable[..., object]) -> bytes:
    """The opcodes that Python's own pickler makes of objects that reduce to calls."""

    class Evil:
        def __init__(self, function: Callable[..., object], *args: object) -> None:
            self.call = function, args

        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return self.call

    value: object = f"open({str(marker)!r}, 'w').close()"
    for function in chain:
        value = Evil(function, value)
    return pickle.dumps(value, 2)[2:-1]


def nested(open_: bytes, close: bytes, depth: int = 100_000) -> bytes:
    return open_ * depth + close * depth


def laughs(levels: int = 60) -> bytes:
    """A list that holds the list before it twice, again and again: 2 ** levels paths to its one tensor."""
    return tensor() + b"q\x01" + b"".join(b"0](h\x01h\x01eq\x01" for _ in range(levels))


def big_entry(name: str, size: int, shown: int | None = None) -> bytes:
    """A sound archive in which one entry is deflated zeros; its table may show another size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(size)) + packer.flush()
    names = [
        ("archive/data.pkl", b"\x80\x02" + tensor() + b".", 0, None),
        ("archive/data/0", WEIGHT, 0, None),
    ]
    entries = [entry for entry in names if entry[0] != name] + [(name, packed, 8, shown or size)]
    body, table = b"", b""
    for path, data, method, claimed in entries:
        fields = struct.pack("<4HL2LHH", 0, method, 0, 0, 0, len(data), claimed or len(data), len(path), 0)
        table += b"PK\1\2\x14\0\x14\0" + fields + struct.pack("<3H2L", 0, 0, 0, 0, len(body)) + path.encode()
        body += b"PK\3\4\x14\0" + fields + path.encode() + data
    return body + table + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, len(entries), len(entries), len(table), len(body), 0)


def twice(data: bytes) -> bytes:
    """An archive whose table names its pickle twice."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/data.pkx", b"N.")
    return buffer.getvalue().replace(b"data.pkx", b"data.pkl")


def encrypted(data: bytes) -> bytes:
    at = data.index(b"PK\1\2")
    return data[: at + 8] + b"\1" + data[at + 9 :]


PETABYTES = b"\x8a\x08" + (1 << 50).to_bytes(8, "little")

_CALLS: dict[str, Callable[[Path], bytes]] = {
    "os.system by global": lambda m: b"cos\nsystem\n(" + touch(m) + b"tR",
    "os.system by its module": lambda m: b"cposix\nsystem\n(" + touch(m) + b"tR",
    "os.system by stack": lambda m: b"\x8c\x02os\x8c\x06system\x93(" + touch(m) + b"tR",
    "os.system by instance": lambda m: b"(" + touch(m) + b"ios\nsystem\n",
    "os.system by object": lambda m: b"(cos\nsystem\n" + touch(m) + b"o",
    "os.system by new object": lambda m: b"cos\nsystem\n(" + touch(m) + b"t\x81",
    "os.system by new object with keywords": lambda m: b"cos\nsystem\n(" + touch(m) + b"t}\x92",
    "eval": lambda m: b"cbuiltins\neval\n(" + write(m) + b"tR",
    "exec of Python 2": lambda m: b"c__builtin__\nexec\n(" + write(m) + b"tR",
    "reduce": lambda m: dumped(m, eval),
    "a chain of reduce": lambda m: dumped(m, str, eval, bool, list),
    "getattr": lambda m: b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(" + short("os") + b"tR"
    + short("system") + b"tR(" + touch(m) + b"tR",
    "a dotted name": lambda m: b"\x8c\x02os\x8c\x0bpath.system\x93(" + touch(m) + b"tR",
    "state that would be set": lambda m: b"cos\n_Environ\n)\x81}(" + short("__reduce__") + b"cos\nsystem\n("
    + touch(m) + b"tRub",
    "a tensor of an unknown type": lambda m: b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncos\nsystem\n"
    + b"(" + touch(m) + b"tNtR",
    "a class with source code": lambda m: b"(" + short("module") + b"cos\nsystem\n" + short(str(m)) + write(m)
    + b"tQ",
    "a mapping that holds itself": lambda m: b"}q\x09(" + short("self") + b"h\x09u",
    "an object that holds itself": lambda m: b"ca\nB\n)\x81q\x09}" + short("me") + b"h\x09sb",
}  # fmt: skip

PAYLOADS: dict[str, Maker] = {}
for _name, _call in _CALLS.items():
    PAYLOADS[f"{_name}, zip"] = lambda marker, call=_call: zipped(beside(call(marker)))  # type: ignore[misc]  # bound
    PAYLOADS[f"{_name}, legacy"] = lambda marker, call=_call: legacy(beside(call(marker)))  # type: ignore[misc]  # now
PAYLOADS["names that lead out of the archive"] = lambda m: zipped(
    beside(b"N"), extra=(("../../" + m.name, b"x"), (str(m), b"x"), ("archive/data/../../../" + m.name, b"x"))
)

_OPCODES: dict[str, bytes] = {
    "lists in lists": nested(b"]", b"a", 99_999),
    "tuples in tuples": b"K\x01" + b"\x85" * 100_000,
    "mappings in mappings": (b"}" + short("k")) * 100_000 + b"N" + b"s" * 100_000,
    "objects in objects": b"ca\nB\nq\x01" + b"h\x01(" * 100_000 + b"tR" * 100_000,
    "billion laughs": laughs(),
    "mark bomb": b"(" * 6_000_000,
    "memo bomb": b"N" + b"".join(b"r" + struct.pack("<I", i) for i in range(3_000_000)),
    "text that is decoded again and again": short("x" * 4_000) + b"q\x01"
    + b"0c_codecs\nencode\n(h\x01tR" * 99_999,
    "a mapping copied again and again": b"]q\x01(" + b"K\x01K\x02\x86" * 9_999 + b"e"
    + b"0ccollections\nOrderedDict\n(h\x01tR" * 9_999,
    "state set again and again": b"ca\nB\n)\x81}(" + short("a") + b"Nuq\x010" + b"h\x01b" * 50_000,
    "an id as long as a tuple can be": b"(" + b"N" * 200_000 + b"tq\x01" + b"0h\x01Q" * 50_000,
    "a class name of a megabyte": short("x" * 1_000_000) + short("y") + b"\x93q\x01" + b"0h\x01)R" * 50_000,
    "bytes of exabytes": b"\x8e" + struct.pack("<Q", 1 << 60),
    "text of exabytes": b"\x8d" + struct.pack("<Q", 1 << 60),
    "a bytearray of exabytes": b"\x96" + struct.pack("<Q", (1 << 64) - 1),
    "a string of negative length": b"T" + struct.pack("<i", -5) + b"abc",
    "a number of gigabytes": b"\x8b" + struct.pack("<i", (1 << 31) - 1),
    "a number of negative length": b"\x8b" + struct.pack("<i", -1),
    "a number of many digits": b"L" + b"9" * 500_000 + b"L\n",
    "a line without end": b"S'" + b"a" * 3_000_000,
    "a frame that lies": b"\x95" + struct.pack("<Q", 1 << 50) + b"N",
    "a memo that was never put": b"h\x07",
    "a memo number that is none": b"Np-1\n",
    "an empty stack": b"R",
    "no mark": b"t",
    "tuples from nothing": b"\x87",
    "an unknown opcode": b"\xff",
    "a protocol to come": b"\x80\x63",
    "an extension code": b"\x82\x01",
    "a buffer from outside": b"\x97",
    "a persistent id in text": b"P0\n",
    "a persistent id that is a number": b"K\x01Q",
    "a persistent id of an unknown kind": b"(" + short("file") + short("/etc/passwd") + b"tQ",
    "a storage of an unknown class": storage(kind="system"),
    "a storage of a negative size": tensor(numel=b"J\xff\xff\xff\xff"),
    "a storage of petabytes": tensor(numel=PETABYTES),
    "a storage that leads out": tensor(key="../../../etc/passwd"),
    "a storage that is not there": tensor(key="77"),
    "a shape of petabytes": tensor(shape=PETABYTES + b"t", strides=b"K\x01t"),
    "a shape of petabytes that repeats one number": tensor(shape=PETABYTES + b"t", strides=b"K\x00t"),
    "a shape with a negative size": tensor(shape=b"J\xff\xff\xff\xfft", strides=b"K\x01t"),
    "a shape of text": tensor(shape=short("3") + b"t", strides=b"K\x01t"),
    "a shape of a thousand axes": tensor(shape=b"K\x01" * 1000 + b"t", strides=b"K\x01" * 1000 + b"t"),
    "strides that go back": tensor(strides=b"J\xff\xff\xff\xffK\x09K\x03K\x01t"),
    "strides for another shape": tensor(strides=b"K\x01t"),
    "an offset beyond the end": tensor(offset=b"K\x01"),
    "an offset before the start": tensor(offset=b"J\xff\xff\xff\xff"),
    "a tensor of nothing": b"ctorch._utils\n_rebuild_tensor_v2\n)R",
    "a tensor of a path": b"ctorch._utils\n_rebuild_tensor_v2\n(" + short("/etc/passwd") + b"K\x00))tR",
    "elements in a number": b"K\x01(K\x02e",
    "keys in a list": b"](K\x01K\x02u",
    "a key without a value": b"}(K\x01u",
    "state for a number": b"K\x01}b",
    "bytes that are no text": b"X\x02\0\0\0\xff\xfe",
    "a storage that is a pickle inside": b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n"
    + b"(B\x03\0\0\0abctRK\x00(K\x01t(K\x01t\x89}tR",
}  # fmt: skip

BOMBS: dict[str, Maker] = {}
for _name, _code in _OPCODES.items():
    BOMBS[f"{_name}, zip"] = lambda _, code=_code: zipped(code)  # type: ignore[misc]  # bound now
    if len(_code) > 1_000_000:
        continue
    BOMBS[f"{_name}, legacy"] = lambda _, code=_code: legacy(code)  # type: ignore[misc]  # bound now
BOMBS |= {
    "a pickle of petabytes in a small archive": lambda _: big_entry("archive/data.pkl", 1 << 20, (1 << 32) - 2),
    "a pickle of zeros": lambda _: big_entry("archive/data.pkl", 300 << 20),
    "a storage that inflates beyond any ratio": lambda _: big_entry("archive/data/0", 36, 1 << 29),
    "two pickles of one name": lambda _: twice(zipped(tensor())),
    "an encrypted pickle": lambda _: encrypted(zipped(tensor())),
    "an archive cut off": lambda _: zipped(tensor())[:-30],
    "an archive without its end": lambda _: zipped(tensor())[:200],
    "two models in one archive": lambda _: zipped(tensor(), extra=(("other/data.pkl", b"\x80\x02N."),)),
    "a big-endian archive": lambda _: zipped(tensor(), extra=(("archive/byteorder", b"big"),)),
    "a stream cut off in its storage": lambda _: legacy(tensor())[:-1],
    "a stream cut off in its pickle": lambda _: legacy(tensor())[:200],
    "a stream with a storage twice": lambda _: legacy(tensor(), keys=("0", "0")),
    "a stream without its storage": lambda _: legacy(tensor(), keys=()),
    "a stream with another storage": lambda _: legacy(tensor(), keys=("1",)),
}

MALICIOUS: dict[str, Maker] = {**PAYLOADS, **BOMBS}
