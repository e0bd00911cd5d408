"""Checks of readers: which files they accept, and which tensors they yield."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from filtercrawl.api.errors import CheckpointError, describe_error
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.reader import Reader, find_reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE
from filtercrawl.api.vocabulary import REASONS
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.sample_weights import sample_weights

# A sample is a file, or the files of one checkpoint by their path, the main one first.
Sample = bytes | Mapping[str, bytes]
UNRELATED_FILES: Final = {
    "an empty file": b"",
    "one byte": b"\0",
    "zeros": bytes(4096),
    "text": b"This is no checkpoint.\n" * 50,
    "JSON": b'{"weight_map": 3}',
    "a zip": b"PK\x03\x04" + bytes(200),
    "a pickle": b"\x80\x02}q\0.",
    "safetensors": sample_weights(),
}
# `can_read` is called for every file of every source.
_MAX_BYTES_READ: Final = 64 * 1024


class _Counted(MemoryFile):
    """A file in memory that counts the bytes that are read."""

    def __init__(self, data: bytes, name: str = "sample") -> None:
        super().__init__(data, name)
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        self.bytes_read += length
        return super().read(offset, length)


class _Files:
    """The files of a sample, as its reader sees them."""

    def __init__(self, sample: Sample, reader: Reader) -> None:
        named = {"sample": sample} if isinstance(sample, bytes) else dict(sample)
        self._files = {name: _Counted(data, name) for name, data in named.items()}
        self._reader = reader
        self.main: RandomAccessFile = next(iter(self._files.values()))

    def open(self, path: str) -> RandomAccessFile:
        if path not in self._files:
            raise CheckpointError(f"{self.main.name}: needs the file {path!r}, which is not beside it")
        return self._files[path]

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        files = _Files({path: b""}, self._reader)
        files._files, files.main = self._files, self.open(path)
        yield from self._reader.tensors(files)


def claims(reader: Reader) -> Iterator[Violation]:
    """A reader declines other content without an error, by reading little."""
    for what, data in UNRELATED_FILES.items():
        file = _Counted(data)
        try:
            claimed = reader.can_read(file)
        except Exception as error:  # noqa: BLE001 - a plugin's reader may raise anything
            yield (
                f"{reader.name}: `can_read` raises {describe_error(error)} for {what}",
                "look only at the length and the first bytes, and return False for any other format",
            )
            continue
        if claimed is not False and what != "safetensors":
            yield (
                f"{reader.name}: `can_read` returns {claimed!r} for {what}",
                "recognize what only this format has: a magic number, a header that parses",
            )
    large = _Counted(bytes(8 * _MAX_BYTES_READ))
    try:
        reader.can_read(large)
    except Exception:  # noqa: BLE001 - reported above
        return
    if large.bytes_read > _MAX_BYTES_READ:
        yield (
            f"{reader.name}: `can_read` reads {large.bytes_read} bytes of a file in another format",
            "decide by the first bytes: it is called for every file",
        )


def reads(reader: Reader, samples: Iterable[Sample], readers: tuple[Reader, ...]) -> Iterator[Violation]:
    """Samples of the format are recognized and read; truncated ones end in an error of filtercrawl."""
    for number, sample in enumerate(samples):
        files = _Files(sample, reader)
        if not reader.can_read(files.main):
            if any(other.can_read(files.main) for other in readers):
                continue  # a sample of another reader
            yield _wrong(
                reader, f"sample {number} is not recognized by `can_read`", "return True for every file that it reads"
            )
            continue
        taken = find_reader(readers, files.main)
        if taken is not None and taken.name != reader.name:
            yield _wrong(reader, f"sample {number} goes to the reader {taken.name}", "give the format a magic number")
        try:
            tensors = list(reader.tensors(files))
        except Exception as error:  # noqa: BLE001 - a plugin's reader may raise anything
            yield _wrong(reader, f"sample {number} raises {describe_error(error)}", "read your own samples")
            continue
        yield from _tensors(reader, tensors)
        yield from _cut(reader, sample)


def _tensors(reader: Reader, tensors: list[Any]) -> Iterator[Violation]:
    if not tensors:
        yield _wrong(reader, "a sample has no tensors", "yield every tensor, also those that are not kernels")
    seen: set[str] = set()
    for tensor in tensors:
        if not isinstance(tensor, StoredTensor):
            yield _wrong(reader, f"`tensors` yields {type(tensor).__name__}", "yield filtercrawl.api.StoredTensor")
            return
        if tensor.name in seen:
            yield _wrong(
                reader, f"two tensors are named {tensor.name!r}", "make names unique: they identify rows of the ledger"
            )
        seen.add(tensor.name)
        if tensor.dtype not in ITEMSIZE:
            yield _wrong(
                reader, f"{tensor.name}: the dtype {tensor.dtype!r} is unknown", "use torch's names, as float32"
            )
        if tensor.location is None and tensor.reason is None:
            yield _wrong(
                reader, f"{tensor.name}: neither a location nor a reason", "state why its values cannot be read"
            )
        if tensor.reason is not None and tensor.reason not in REASONS:
            yield _wrong(
                reader, f"{tensor.name}: the reason {tensor.reason!r} is not in the vocabulary",
                f"use one of {', '.join(REASONS)}",
            )  # fmt: skip


def _cut(reader: Reader, sample: Sample) -> Iterator[Violation]:
    """A truncated file must not end in an error of Python."""
    data = sample if isinstance(sample, bytes) else next(iter(sample.values()))
    for length in sorted({len(data) // 4, len(data) // 2, len(data) - 1}):
        files = _Files(data[:length], reader)
        try:
            if reader.can_read(files.main):
                for tensor in reader.tensors(files):
                    if tensor.location is not None:
                        tensor.location.read(tuple((0, min(1, n)) for n in tensor.location.shape))
        except CheckpointError:
            continue
        except Exception as error:  # noqa: BLE001 - a plugin's reader may raise anything
            yield _wrong(
                reader, f"a sample cut to {length} bytes raises {describe_error(error)}",
                "raise FormatError or TruncatedError with what is wrong and where",
            )  # fmt: skip
            return


def _wrong(reader: Reader, what: str, what_to_do: str) -> Violation:
    return (f"{reader.name}: {what}", what_to_do)
