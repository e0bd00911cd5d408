"""Files of a format with what they hold, by which a reader is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.reader import Reader
from filtercrawl.api.tensor import StoredTensor


@dataclass(frozen=True, kw_only=True)
class ExpectedTensor:
    """What a reader has to yield for one tensor of a sample.

    Attributes:
        values: The numbers, with the axes in the order of torch: `[out, in/groups, *kernel_size]`, of transposed
            convolutions `[in, out/groups, *kernel_size]`. Of quantized weights `(code - zero_point) * scale`, as
            float32. None for a tensor whose numbers cannot be read, which has a `reason`.
        dtype: The stored dtype, as torch calls it; empty for that of `values`.
        convolution: What the file states about the convolution that uses it; None where it states nothing.
        layout: Order of the axes in the file, a value of `Layout`; None where the file does not show it.
        reason: Why the file shows that it is no kernel, a word of the ledger's vocabulary; None where it does not.
        facts: Further fields of `StoredTensor` by name, such as `norm` and `bias`. Others may have any value.
    """

    values: NDArray[Any] | None
    dtype: str = ""
    convolution: Convolution | None = None
    layout: str | None = None
    reason: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored_dtype(self) -> str:
        """The stored dtype; empty where nothing states it."""
        return self.dtype or ("" if self.values is None else np.asarray(self.values).dtype.name)


@dataclass(frozen=True, kw_only=True)
class ReaderSample:
    """A checkpoint in the format of a reader, and what it holds.

    Write the files with the framework that they come from, and take the numbers from the framework: a sample that the
    reader made would only show that the reader agrees with itself. Numbers should differ from each other and sizes of
    axes too, so that no wrong order of axes looks right.

    Attributes:
        files: The files by their path, the main one first.
        tensors: Every tensor of the checkpoint by its name.
        training: What a reader with `SupportsTrainingState` finds; None where the files state nothing.
    """

    files: Mapping[str, bytes]
    tensors: Mapping[str, ExpectedTensor]
    training: TrainingState | None = None


class RecordingFile(MemoryFile):
    """A file in memory that records which bytes are read."""

    def __init__(self, data: bytes, name: str = "sample") -> None:
        super().__init__(data, name)
        self._reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        data = super().read(offset, length)
        self._reads.append((offset, offset + length))
        return data

    @property
    def bytes_read(self) -> int:
        """Number of bytes that were read, each counted once."""
        total = end = 0
        for start, stop in sorted(self._reads):
            total += max(stop - max(start, end), 0)
            end = max(end, stop)
        return total


class SampleFiles:
    """The files of a sample, as a reader sees them."""

    def __init__(self, files: Mapping[str, bytes], reader: Reader) -> None:
        """Open the files of one checkpoint.

        Args:
            files: Their content by path, the main one first.
            reader: Reads the files that an index names.
        """
        self._files = {name: RecordingFile(data, name) for name, data in files.items()}
        self._reader = reader
        self.main: RandomAccessFile = next(iter(self._files.values()))

    @property
    def bytes_read(self) -> int:
        """Number of bytes of all files that were read, each counted once."""
        return sum(file.bytes_read for file in self._files.values())

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(file.size for file in self._files.values())

    def open(self, path: str) -> RandomAccessFile:
        if path not in self._files:
            raise CheckpointError(f"{self.main.name}: needs the file {path!r}, which is not beside it")
        return self._files[path]

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        part = SampleFiles({path: b""}, self._reader)
        part._files, part.main = self._files, self.open(path)
        yield from self._reader.tensors(part)
