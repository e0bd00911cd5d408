"""Layers that are sent before the version that names them is made, so that a small disk holds a large release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from filtercrawl.catalog import Catalog
from filtercrawl.cli.options import amount, size
from filtercrawl.dataset.atomic import remove
from filtercrawl.dataset.tables import File
from filtercrawl.errors import FiltercrawlError, Stopped
from filtercrawl_publish.remote import Remote
from filtercrawl_publish.upload import send

__all__ = ["Ahead"]


@dataclass(kw_only=True)
class Ahead:
    """Makes room in the folder of a run that is under way.

    most: bytes of layers that may lie there. sent: path -> sha256 of what `place` was sent and no version names yet.
    Only this process can put it into a version: where it ends before, the next run reads those checkpoints again.
    """

    place: Remote
    dataset: Path
    most: int
    say: Callable[[str], None]
    sent: dict[str, str] = field(default_factory=dict)

    def make_room(self) -> int:
        """Delete what the last version holds here; where that is not enough, send what is finished and delete it too.

        Returns the bytes of layers that lie here still. Whoever calls this holds the dataset, outside a transaction.
        What cannot be sent stays, and is said.
        """
        with Catalog(self.dataset) as catalog:
            held = catalog.released()
            files = [File(path=path, size=length, sha256=sha256) for path, length, sha256 in catalog.layer_files()]
            here = [file for file in files if (self.dataset / file.path).is_file()]
            rest = self._without(here, held)
            if sum(file.size for file in rest) < self.most:
                return sum(file.size for file in rest)
            went = self._send(rest)
            catalog.put_ahead(went)
            rest = self._without(rest, went)
        return sum(file.size for file in rest)

    def _send(self, files: list[File]) -> set[str]:
        total = sum(file.size for file in files)
        self.say(f"sending {amount(len(files))} files of layers ahead, {size(total)}, to make room")
        try:
            went = send(files, self.dataset, self.place, lambda done, of: self.say(f"sent {size(done)} of {size(of)}"))
        except Stopped:
            raise
        except FiltercrawlError as error:
            self.say(f"no room was made: {error}")
            return set()
        self.sent |= {file.path: file.sha256 for file in files if file.path in went}
        return went

    def _without(self, files: list[File], gone: set[str]) -> list[File]:
        """Delete some of the files here; return the others."""
        for file in files:
            if file.path in gone:
                remove(self.dataset / file.path)
        return [file for file in files if file.path not in gone]
