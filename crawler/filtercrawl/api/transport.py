"""Protocols of the network access that plugins are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import httpx2

from filtercrawl.api.checkpoint import RemoteFile


class OpenedFile(Protocol):
    """A remote file with the interface of `RandomAccessFile`; raises NetworkError and ChangedError."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Length in bytes; asks the server where the source did not tell."""
        ...

    @property
    def sha256(self) -> str | None:
        """The file's sha256 as its source or its server states it, None where neither has; asks nothing."""
        ...

    @property
    def bytes_read(self) -> int:
        """Bytes received from the server."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent for this file, redirects included."""
        ...

    @property
    def fetched_in_full(self) -> bool:
        """Whether the whole file is here, or on its way."""
        ...

    @property
    def validated(self) -> bool:
        """Whether every answer was held against something that changes with the file."""
        ...

    @property
    def version(self) -> str | None:
        """What the server calls this version of the file: its strong ETag, where it has one."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises TruncatedError past the end."""
        ...

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin to bring the bytes of these (start, stop) in few requests; returns at once, and raises nothing."""
        ...

    def check_unchanged(self) -> None:
        """Raise ChangedError if the file is not the one that was opened."""
        ...

    def close(self) -> None: ...


class Transport(Protocol):
    """What a source may ask of the network; a plugin opens no connection of its own and sees no token.

    Mirrors, credentials by origin, rate budgets and retries lie below `client`, for every request of a run.
    """

    @property
    def client(self) -> httpx2.Client:
        """The one HTTP client, for client libraries that take one. Closing it does nothing: it is shared."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent so far, tries and redirects included."""
        ...

    @property
    def bytes_fetched(self) -> int:
        """Bytes of the bodies received so far."""
        ...

    def get_json(self, url: str) -> Any:
        """Return the JSON at an http(s) URL; raises NetworkError."""
        ...

    def pages(self, url: str) -> Iterator[Any]:
        """Yield the JSON of a page and of all that its `Link: <...>; rel="next"` headers lead to."""
        ...

    def open(self, file: RemoteFile, listed_at: str | None = None) -> OpenedFile:
        """Open a file at an http(s) URL to be read by range; asks nothing yet. Reading raises NetworkError.

        listed_at: the address by which the file is known, where the one to read it at was given out on demand.
        """
        ...
