"""A temporary file that holds a whole remote one."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref

from filtercrawl.errors import NetworkError


class Spool:
    """Bytes on disk that grow at their end; reads are thread-safe. Gone when closed or forgotten.

    Never takes more than half of the disk's free space.
    """

    def __init__(self, name: str) -> None:
        self.size = 0
        self._name = name
        self._room = shutil.disk_usage(tempfile.gettempdir()).free // 2
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        self._fd = file.fileno()
        self._end = weakref.finalize(self, file.close)

    def expect(self, size: int) -> None:
        """Raise NetworkError where a file of so many bytes does not fit."""
        if size > self._room:
            raise NetworkError(
                f"{self._name}: {size} bytes do not fit into {tempfile.gettempdir()}, where {self._room} may be used; "
                "set TMPDIR to a larger disk"
            )

    def write(self, data: bytes) -> None:
        """Append."""
        self.expect(self.size + len(data))
        try:
            while data:
                written = os.pwrite(self._fd, data, self.size)
                self.size += written
                data = data[written:]
        except OSError as error:
            raise NetworkError(f"{self._name}: {tempfile.gettempdir()}: {error.strerror or error}") from error

    def restart(self) -> None:
        """Forget what was written."""
        os.ftruncate(self._fd, 0)
        self.size = 0

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        pieces = []
        while length > 0 and (piece := os.pread(self._fd, length, offset)):
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        self._end()
