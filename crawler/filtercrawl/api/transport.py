"""Protocols of the network access that plugins are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from filtercrawl.api.checkpoint import RemoteFile

if TYPE_CHECKING:
    import httpx2  # runs over local files need no HTTP library


class OpenedFile(Protocol):
    """A remote file that is read by byte range, with the interface of `RandomAccessFile`.

    Its methods raise NetworkError, and ChangedError once the file is not the version that was opened.
    """

    @property
    def name(self) -> str:
        """Name of the file in messages."""
        ...

    @property
    def size(self) -> int:
        """Length in bytes; sends a request where the source did not state it."""
        ...

    @property
    def sha256(self) -> str | None:
        """The SHA-256 that the source or the server states, None where neither does; sends no request."""
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
        """Whether the whole file is in the cache or queued for download."""
        ...

    @property
    def validated(self) -> bool:
        """Whether every response was compared with a validator (`ETag`, `Last-Modified`) that changes with the file."""
        ...

    @property
    def version(self) -> str | None:
        """The strong ETag of the file; None where the server states none."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raises TruncatedError past the end of the file."""
        ...

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Start to download ranges that will be read, in few requests; return at once and raise nothing.

        Args:
            ranges: (start, stop) in bytes, in any order.
        """
        ...

    def check_unchanged(self) -> None:
        """Raise ChangedError if the file is not the one that was opened."""
        ...

    def close(self) -> None:
        """End the downloads of this file."""
        ...


class Transport(Protocol):
    """The network access of a source. A plugin opens no connection of its own and sees no token.

    Mirrors, credentials by origin, rate limits, budgets and retries apply to every request, below `client`.
    """

    @property
    def client(self) -> httpx2.Client:
        """The one HTTP client, for client libraries that take one; closing it does nothing, since it is shared."""
        ...

    @property
    def requests(self) -> int:
        """Requests sent so far, retries and redirects included."""
        ...

    @property
    def bytes_fetched(self) -> int:
        """Bytes of response bodies received so far."""
        ...

    def get_json(self, url: str) -> Any:
        """Return the JSON at an http(s) URL.

        Args:
            url: Without user and password; `[mirrors]` and `[auth]` are applied.

        Raises:
            NetworkError: The server cannot be reached or refuses, or the response is not JSON.
        """
        ...

    def pages(self, url: str) -> Iterator[Any]:
        """Yield the JSON of a page, and of every page that its `Link: <...>; rel="next"` headers lead to.

        Args:
            url: Of the first page.

        Raises:
            NetworkError: The server cannot be reached or refuses, or a response is not JSON.
        """
        ...

    def open(self, file: RemoteFile, listed_at: str | None = None) -> OpenedFile:
        """Open a file at an http(s) URL without a request.

        Args:
            file: The file to read.
            listed_at: The URL that identifies the file in the cache, where the URL to read it at is temporary.

        Raises:
            NetworkError: The URL is not http(s), or contains a password.
        """
        ...
