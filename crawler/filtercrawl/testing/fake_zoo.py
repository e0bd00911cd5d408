"""A fake zoo that changes, as a plugin's own source sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from filtercrawl.testing.file_server import Answer, FileServer, RecordedRequest

# Path of the checkpoints on the server; every other request is part of a listing.
FILES: Final = "/files/"


class FakeZoo:
    """A zoo on a local server. A plugin derives from it and implements `serve`, which lists `self.weights`.

    The plugin's module, or the module `conformance` beside it, has a function `conformance(server)` that returns one.

    Attributes:
        pattern: A pattern for sources that need one.
        settings: The table `[sources.NAME]` with which the source finds this server.
    """

    pattern: str | None = None

    def __init__(self, server: FileServer) -> None:
        self.server = server
        self.weights: dict[str, bytes] = {}
        self.licenses: dict[str, str | None] = {}
        self.signature = 0

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def serve(self) -> None:
        """Publish the listing of `self.weights` (name to bytes) on `self.server`; called after every change."""
        raise NotImplementedError(f"{type(self).__name__} must implement `serve`, which lists the zoo")

    def url(self, name: str) -> str:
        """Return the address of a checkpoint, newly signed after `sign`."""
        return f"{self.server.url}{FILES}{name}?signature={self.signature}"

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.weights[name]).hexdigest()

    def license(self, name: str) -> str | None:
        """Return the license of a checkpoint as the zoo states it: an SPDX expression, other words, or None."""
        return self.licenses.get(name, "MIT")

    def put_pages(self, path: str, rows: Sequence[Any], size: int = 2) -> None:
        """Serve rows as JSON in pages, each with a `Link` to the next, as `Transport.pages` follows them.

        Args:
            path: Of the first page.
            rows: The rows of all pages.
            size: Rows of a page.
        """
        pages = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
        for number, page in enumerate(pages):
            following = f'<{self.server.url}{path}.page{number + 1}>; rel="next"'
            headers = {"Link": following} if number + 1 < len(pages) else {}
            self.server.json(path if number == 0 else f"{path}.page{number}", list(page), headers)

    def offered_as(self, name: str) -> str:
        """Return the name under which the source offers the checkpoint `name`."""
        return name

    def pattern_for(self, name: str) -> str | None:
        """Return a pattern that matches only this checkpoint; None if the source has no such patterns."""
        return self.offered_as(name)

    # Changes that checks make.

    def add(self, name: str, data: bytes) -> None:
        """Add a checkpoint, or replace its bytes."""
        self.add_all({name: data})

    def add_all(self, weights: Mapping[str, bytes]) -> None:
        """Add checkpoints, or replace their bytes."""
        for name, data in weights.items():
            self.weights[name] = data
            self.server.put(FILES + name, data)
        self.serve()

    def delete(self, name: str) -> None:
        del self.weights[name]
        self.server.remove(FILES + name)
        self.serve()

    def sign(self) -> None:
        """Give every address a new signature."""
        self.signature += 1
        self.serve()

    def break_listing(self, after: int, status: int) -> None:
        """Let all listing requests except the first `after` end with a status, until `restore_listing`."""
        left = [after]

        def status_of(request: RecordedRequest) -> int | None:
            if request.path.startswith(FILES):
                return None
            left[0] -= 1
            return None if left[0] >= 0 else status

        self.server.fail_requests(status_of)

    def damage_listing(self, after: int, damage: Callable[[Answer], Answer]) -> None:
        """Damage the answers to all listing requests except the first `after`, until `restore_listing`."""
        left = [after]

        def change(request: RecordedRequest, answer: Answer) -> Answer:
            if request.path.startswith(FILES):
                return answer
            left[0] -= 1
            return answer if left[0] >= 0 else damage(answer)

        self.server.change_answers(change)

    def restore_listing(self) -> None:
        self.server.fail_requests(None)
        self.server.change_answers(None)

    def requests(self) -> tuple[int, int]:
        """Return the number of requests so far, for listings and for checkpoints."""
        files = sum(request.path.startswith(FILES) for request in list(self.server.log))
        return len(self.server.log) - files, files
