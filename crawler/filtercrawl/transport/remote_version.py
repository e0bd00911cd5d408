"""The version of a remote file: what tells it from others, and the comparison of every response with it."""

from __future__ import annotations

import threading
from typing import Final

import httpx2

from filtercrawl.api.errors import ChangedError
from filtercrawl.transport.responses import linked_sha256

_VALIDATORS: Final = ("ETag", "Last-Modified")


class RemoteVersion:
    """What is known of the one version of a file that all its bytes must belong to. Thread-safe.

    Attributes:
        size: Length in bytes; None until the source or a response states it.
        sha256: Hexadecimal SHA-256; None until the source or a response states it, as the Hub does of large files.
        validators: `ETag` and `Last-Modified` of the first response, where it had them; empty before.
    """

    def __init__(self, where: str, size: int | None, sha256: str | None) -> None:
        self.size = size
        self.sha256 = sha256
        self.validators: dict[str, str] = {}
        self._where = where
        self._lock = threading.Lock()

    @property
    def etag(self) -> str | None:
        """The strong ETag; None where the server states none, or a weak one."""
        etag = self.validators.get("ETag", "")
        return etag if etag and not etag.startswith("W/") else None

    @property
    def if_range(self) -> dict[str, str]:
        """The request header that asks for the range only if the file is still this version."""
        validator = self.etag or self.validators.get("Last-Modified", "")
        return {"If-Range": validator} if validator else {}

    def check(self, response: httpx2.Response) -> None:
        """Compare the headers of a response with this version, and take over the SHA-256 that they state.

        Raises:
            ChangedError: The response is of another version.
        """
        for header, expected in self.validators.items():
            if response.headers.get(header, expected) != expected:
                raise self.changed()
        linked = linked_sha256(response)
        if linked is not None and self.sha256 not in (None, linked):
            raise ChangedError(
                f"{self._where}: its server states sha256 {linked[:16]}..., its source {str(self.sha256)[:16]}...; "
                "list it again"
            )
        self.sha256 = linked or self.sha256

    def check_size(self, stated: str) -> None:
        """Take over the length of the file that a response states, or compare it; ignore what is no number.

        Raises:
            ChangedError: The file has another length than was stated before.
        """
        if not (stated.isascii() and stated.isdigit()):
            return
        with self._lock:
            if self.size is None:
                self.size = int(stated)
        if self.size != int(stated):
            raise ChangedError(
                f"{self._where}: has {int(stated)} bytes, but {self.size} were stated before; list it again"
            )

    def record_validators(self, response: httpx2.Response) -> bool:
        """Take over the validators of the first response; return whether this was the first."""
        with self._lock:
            if self.validators:
                return False
            self.validators = {name: response.headers[name] for name in _VALIDATORS if name in response.headers}
            return True

    def changed(self) -> ChangedError:
        """Return the error to raise when a response is of another version."""
        return ChangedError(f"{self._where}: changed while it was read; run again")
