"""What reading the structure of one checkpoint may cost: a budget that parsers charge where they do the work.

All parsers of a checkpoint share one budget, also those of archives inside of archives. Limits grow with the size of
the file, so that a small file cannot ask for much; `docs/limits.md` lists them.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple, Protocol

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile

MIB: Final = 1 << 20
# Characters of the name of a tensor, a class or a storage.
MAX_NAME_LENGTH: Final = 4096
# Names of code that are noted, and characters of one.
MAX_CODE: Final = 8
MAX_CODE_LENGTH: Final = 120
# Bytes of decompressed data that are kept to be read again.
MAX_HELD_BYTES: Final = 64 * MIB


class Limit(NamedTuple):
    """How much a file of a size may ask for: `base + per_byte * size`, and never more than `most`.

    Attributes:
        base: What any file may ask for.
        per_byte: What each of its bytes adds.
        most: The limit of any file; None for one that grows with the file without end.
        meaning: What is counted, as in messages.
    """

    base: int
    per_byte: float
    most: int | None
    meaning: str

    def of(self, size: int) -> int:
        """Return the limit of a file of `size` bytes."""
        grown = self.base + int(self.per_byte * size)
        return grown if self.most is None else min(grown, self.most)


LIMITS: Final = {
    "steps": Limit(2_000_000, 1 / 2, 20_000_000, "steps of parsing"),
    "memory": Limit(32 * MIB, 16, 256 * MIB, "bytes of objects in its pickles"),
    "inflated": Limit(256 * MIB, 16, None, "bytes of decompressed data"),
    "tensors": Limit(16_384, 1 / 256, 262_144, "tensors"),
    "kernels": Limit(16_384, 0, None, "convolutions or tensors of the shape of kernels"),
    "text": Limit(4 * MIB, 1, 32 * MIB, "characters of names"),
}


class Holder(Protocol):
    """A file that keeps decompressed bytes, and can do without."""

    @property
    def held_bytes(self) -> int:
        """Bytes that it keeps."""
        ...

    def release(self) -> None:
        """Drop them."""
        ...


class Budget:
    """The budget of one checkpoint.

    Attributes:
        file: The main file of the checkpoint.
        steps: Steps that are left; a step is an opcode of a pickle, a field, or a value that is looked at.
        memory: Bytes that are left for the objects of pickles.
        code: What pickles of the checkpoint name as code, by full name; at most `MAX_CODE`.
        lock: Held while a file that keeps decompressed bytes is read.
    """

    def __init__(self, file: RandomAccessFile, scale: int = 1) -> None:
        """Make the budget of the checkpoint whose main file is `file`; `scale` multiplies all limits."""
        self.file = file
        self._scale = scale
        self.code: dict[str, None] = {}
        self.lock = threading.RLock()
        self.steps = self._limit("steps")
        self.memory = self._limit("memory")
        self._inflated = self._limit("inflated")
        self._tensors = self._limit("tensors")
        self._kernels = self._limit("kernels")
        self._text = self._limit("text")
        self._held: dict[int, tuple[Holder, int]] = {}
        self._held_bytes = 0

    def spend(self, steps: int) -> None:
        """Charge steps of parsing; raises UnsafeFileError if none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise self.exceeded("steps")

    def allocate(self, size: int) -> None:
        """Charge the memory of objects before it is taken; raises UnsafeFileError."""
        self.memory -= size
        if self.memory < 0:
            raise self.exceeded("memory")

    def inflate(self, size: int) -> None:
        """Charge bytes that are decompressed; raises UnsafeFileError."""
        self._inflated -= size
        if self._inflated < 0:
            raise self.exceeded("inflated")

    def add_tensor(self, length: int, axes: int = 0) -> None:
        """Charge a tensor; raises UnsafeFileError.

        Args:
            length: Characters of its name.
            axes: Number of its axes, of which kernels have three to five; 0 where a graph tells what is a kernel.
        """
        if 3 <= axes <= 5:
            self.add_convolution()
        if length > MAX_NAME_LENGTH:
            raise UnsafeFileError(
                f"{self.file.name}: has a tensor with a name of {length:,} characters; at most {MAX_NAME_LENGTH:,} are "
                "supported"
            )
        self._tensors -= 1
        if self._tensors < 0:
            raise self.exceeded("tensors")
        self._text -= length
        if self._text < 0:
            raise self.exceeded("text")

    def add_convolution(self) -> None:
        """Charge a node of a graph that convolves, or a tensor of the shape of a kernel; raises UnsafeFileError."""
        self._kernels -= 1
        if self._kernels < 0:
            raise self.exceeded("kernels")

    def name_code(self, path: str) -> None:
        """Note that a pickle names code, which is not run."""
        if len(self.code) < MAX_CODE:
            self.code[path[:MAX_CODE_LENGTH]] = None

    def hold(self, holder: Holder) -> None:
        """Note that a file with decompressed bytes is read; those not read for longest drop theirs."""
        last = next(reversed(self._held), None)
        if last == id(holder):
            return
        if last is not None:  # only the file that was read last can have grown
            grown, before = self._held[last]
            self._held[last] = grown, grown.held_bytes
            self._held_bytes += grown.held_bytes - before
        self._held_bytes += holder.held_bytes - self._held.pop(id(holder), (holder, 0))[1]
        self._held[id(holder)] = holder, holder.held_bytes
        while len(self._held) > 1 and self._held_bytes > MAX_HELD_BYTES:
            oldest, held = self._held.pop(next(iter(self._held)))
            self._held_bytes -= held
            oldest.release()

    def exceeded(self, name: str) -> UnsafeFileError:
        """Return the error for a limit of `LIMITS` that is exceeded."""
        return UnsafeFileError(
            f"{self.file.name}: has more than {self._limit(name):,} {LIMITS[name].meaning}, the limit of a file of "
            f"{self.file.size:,} bytes; reading stopped"
        )

    def _limit(self, name: str) -> int:
        return self._scale * LIMITS[name].of(self.file.size)
