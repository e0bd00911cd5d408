"""A remote file read by byte range: small reads share requests, large ones go straight through."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

import httpx2

from filtercrawl.checkpoint import RemoteFile
from filtercrawl.ranges import check_range
from filtercrawl.transport.address import shown
from filtercrawl.transport.remote_bytes import RemoteBytes
from filtercrawl.transport.retry import Clock, Patience

_BLOCK: Final = 64 * 1024
_MOST_AHEAD: Final = 16  # blocks: 1 MiB
_KEPT: Final = 64  # blocks: 4 MiB a file
_LARGE: Final = _MOST_AHEAD * _BLOCK


class HttpFile:
    """Implements `filtercrawl.ranges.RangeFile`. Thread-safe.

    Reads in order fetch ahead, twice as much each time; a jump begins again with one block of 64 KiB.
    """

    def __init__(self, client: httpx2.Client, file: RemoteFile, *, patience: Patience, clock: Clock) -> None:
        self.name = file.path or shown(file.url).rsplit("/", 1)[-1]
        self._bytes = RemoteBytes(client, file.url, self.name, file.size, patience, clock)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next = 0
        self._ahead = 1
        self._lock = threading.RLock()

    @property
    def size(self) -> int:
        """Length in bytes; asks the server where the source did not tell."""
        if self._bytes.size is None:
            with self._lock:
                if self._bytes.size is None:
                    self._keep(0, self._bytes.fetch(0, _BLOCK))
        assert self._bytes.size is not None
        return self._bytes.size

    @property
    def bytes_read(self) -> int:
        """Bytes received from the server."""
        return self._bytes.bytes_read

    @property
    def whole(self) -> bool:
        """Whether the whole file has been fetched."""
        return self._bytes.spool is not None

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`.

        Raises TruncatedError past the end, NetworkError, and ChangedError where the file is not what it was.
        """
        check_range(self, offset, length)
        if length == 0:
            return b""
        if self.whole or length > _LARGE:
            return self._exactly(offset, length)
        with self._lock:
            return self._shared(offset, length)

    def download(self) -> None:
        """Fetch the whole file in one request; reads are served from a temporary file from now on."""
        self._bytes.download()

    def check_unchanged(self) -> None:
        """Nothing to do: every answer was held against the version that the first one was of."""

    def close(self) -> None:
        self._bytes.close()

    def _exactly(self, offset: int, length: int) -> bytes:
        data = self._bytes.fetch(offset, offset + length)
        check_range(self, offset, length)  # the first answer may have told another size
        return data

    def _shared(self, offset: int, length: int) -> bytes:
        """Put a read together from blocks, fetching runs of missing ones at once."""
        first, last = offset // _BLOCK, (offset + length - 1) // _BLOCK
        found: dict[int, bytes] = {}
        for number in range(first, last + 1):
            if number not in found:
                if number in self._blocks:
                    self._blocks.move_to_end(number)
                    found[number] = self._blocks[number]
                else:
                    found |= self._fetch(number, last)
        joined = found[first] if first == last else b"".join(found[number] for number in range(first, last + 1))
        return joined[offset - first * _BLOCK :][:length]

    def _fetch(self, number: int, last: int) -> dict[int, bytes]:
        """Fetch missing blocks from `number` on: those wanted, and some ahead of a reader that goes in order."""
        self._ahead = min(self._ahead * 2, _MOST_AHEAD) if number == self._next else 1
        stop = number + 1
        while (stop <= last or stop < number + self._ahead) and stop not in self._blocks:
            stop += 1
        self._next = stop
        return self._keep(number, self._bytes.fetch(number * _BLOCK, min(stop * _BLOCK, self.size)))

    def _keep(self, number: int, data: bytes) -> dict[int, bytes]:
        blocks = {number + i // _BLOCK: data[i : i + _BLOCK] for i in range(0, len(data), _BLOCK)}
        self._blocks.update(blocks)
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return blocks
