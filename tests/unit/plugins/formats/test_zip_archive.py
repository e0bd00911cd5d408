"""The central directory of zip archives, against the standard library's writer."""

from __future__ import annotations

import gc
import io
import struct
import weakref
import zipfile

import pytest

from filtercrawl.api.errors import FormatError, TruncatedError, UnsafeFileError, UnsupportedError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.zip import ZipArchive, directory

CONTENT = {"a.txt": b"hello" * 100, "folder/b.bin": bytes(range(256)), "empty": b""}


def write(compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in CONTENT.items():
            file.writestr(name, data)
        file.comment = comment
    return buffer.getvalue()


def parse(data: bytes) -> ZipArchive:
    file = MemoryFile(data, "x.zip")
    return ZipArchive(file, Budget(file))


def test_a_damaged_archive_is_not_kept() -> None:
    data = write().replace(b"PK\1\2", b"PK\0\2")
    file = MemoryFile(data, "x.zip")
    for _ in range(2):
        with pytest.raises(FormatError, match="is damaged"):
            directory.read_directory(file)
    gone = weakref.ref(file)
    del file
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("comment", [b"", b"a comment with PK\5\6 in it"])
def test_entries(compression: int, comment: bytes) -> None:
    parsed = parse(write(compression, comment))
    assert {name: parsed.read(name, 10_000) for name in parsed.entries} == CONTENT
    entry = parsed.entries["a.txt"]
    assert (entry.size, entry.is_deflated) == (500, compression == zipfile.ZIP_DEFLATED)
    assert parsed.open("a.txt") is parsed.open("a.txt")


def test_zip64_extra_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    parsed = parse(write())
    assert {name: parsed.read(name, 10_000) for name in parsed.entries} == CONTENT


def write_zip64(monkeypatch: pytest.MonkeyPatch) -> bytearray:
    """Return an archive whose counts and sizes are in the zip64 end record alone, as those of large checkpoints."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = bytearray(write())
    struct.pack_into("<HHII", data, data.rindex(b"PK\5\6") + 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return data


def test_the_end_of_a_zip64_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = parse(bytes(write_zip64(monkeypatch)))
    assert {name: parsed.read(name, 10_000) for name in parsed.entries} == CONTENT


@pytest.mark.parametrize(
    ("signature", "offset", "value", "error", "message"),
    [
        (b"PK\6\7", 0, 0, FormatError, "locator of the zip archive is missing"),
        (b"PK\6\6", 0, 0, FormatError, "zip64 end of the zip archive is missing"),
        (b"PK\6\6", 16, 1, UnsupportedError, "on several disks"),
        (b"PK\6\6", 24, 2, UnsupportedError, "on several disks"),  # entries on this disk
        (b"PK\6\6", 40, 2**40, FormatError, "central directory of the zip archive exceeds its bounds"),
    ],
)
def test_a_damaged_end_of_a_zip64_archive(
    monkeypatch: pytest.MonkeyPatch, signature: bytes, offset: int, value: int, error: type[Exception], message: str
) -> None:
    data = write_zip64(monkeypatch)
    struct.pack_into("<Q" if offset > 16 else "<I", data, data.rindex(signature) + offset, value)
    with pytest.raises(error, match=message):
        parse(bytes(data))


def test_resolve_zip64_takes_only_what_is_missing() -> None:
    extra = struct.pack("<2HL", 0x5455, 4, 0) + struct.pack("<2HQ", 1, 8, 1 << 40)
    assert directory._resolve_zip64(extra, 5, 0xFFFFFFFF, 7) == [5, 1 << 40, 7]
    assert directory._resolve_zip64(extra[:-1], 5, 0xFFFFFFFF, 7) == [5, 0xFFFFFFFF, 7]
    assert directory._resolve_zip64(extra, 5, 6, 7) == [5, 6, 7]


def directory_header(data: bytes) -> int:
    """Return the offset of the first header of the central directory."""
    return data.index(b"PK\1\2")


def patched(offset: int, field: bytes) -> bytes:
    data = bytearray(write())
    start = directory_header(data) + offset
    data[start : start + len(field)] = field
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (write()[:-1], TruncatedError),
        (b"", TruncatedError),
        (patched(0, b"PK\0\0"), FormatError),
        (patched(8, b"\1\0"), UnsupportedError),
        (patched(10, b"\x0c\0"), UnsupportedError),
        (patched(20, b"\xff\xff\xff\x0f"), UnsupportedError),
        (patched(28, b"\xff\xff"), FormatError),
        (patched(42, b"\x10\0\0\0"), FormatError),
    ],
    ids=["cut", "empty", "signature", "encrypted", "bzip2", "stored sizes differ", "name too long", "overlap"],
)
def test_damaged_directories(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^x\.zip: "):
        parse(data)


def test_duplicate_names() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", b"1")
        file.filelist.append(file.filelist[0])
    with pytest.raises(FormatError, match="two entries 'a'"):
        parse(buffer.getvalue())


def test_limits() -> None:
    parsed = parse(write())
    with pytest.raises(UnsafeFileError, match="at most 499"):
        parsed.read("a.txt", 499)
    with pytest.raises(FormatError, match="no entry 'missing'"):
        parsed.open("missing")
