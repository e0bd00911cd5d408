"""Which layers files the dataset has, and where they are: in the folder, in the last version, or uploaded."""

from __future__ import annotations

import json
from collections.abc import Iterable

from filtercrawl.dataset.catalog.all_or_nothing import all_or_nothing
from filtercrawl.dataset.catalog.damage import load_json
from filtercrawl.dataset.catalog.facts import Facts


class KnownLayerFiles(Facts):
    """The layers files; part of the catalog."""

    def put_layer_file(self, path: str, size: int, sha256: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO layer_files VALUES (?, ?, ?)", (path, size, sha256))

    def has_layer_file(self, path: str) -> bool:
        """Tell whether the hash of a layers file is known."""
        return self._db.execute("SELECT 1 FROM layer_files WHERE path = ?", (path,)).fetchone() is not None

    @property
    def release(self) -> str | None:
        """What was noted of the last release."""
        return self.get_meta("release")

    def put_released(self, files: Iterable[tuple[str, str]], release: str) -> None:
        """Note the (path, sha256) of every layers file that the last release has: those need not be in the folder."""
        with all_or_nothing(self._db):
            self._db.execute("DELETE FROM released")
            self._db.executemany("INSERT INTO released VALUES (?, ?)", files)
            self.set_meta("release", release)
            self.set_meta("sent", "{}")

    def released(self) -> set[str]:
        """Return the paths of the layers files that the last release has with the hashes of the catalog."""
        return {path for (path,) in self._db.execute("SELECT path FROM released JOIN layer_files USING (path, sha256)")}

    def is_released(self, path: str) -> bool:
        """Tell whether the last release has a layers file with the hash of the catalog."""
        sql = "SELECT 1 FROM released JOIN layer_files USING (path, sha256) WHERE path = ?"
        return self._db.execute(sql, (path,)).fetchone() is not None

    def mark_uploaded(self, repository: str, files: Iterable[str]) -> None:
        """Note the paths of layers files that were uploaded to a repository and that no release lists yet."""
        sent = self._uploaded()
        self.set_meta("sent", json.dumps(sent | {repository: sorted({*sent.get(repository, ()), *files})}))

    def clear_uploaded(self, repository: str) -> None:
        """Note that a repository has lost what was uploaded to it."""
        sent = self._uploaded()
        lost = {*sent.get("", ()), *sent.pop(repository, ())}
        self.set_meta("sent", json.dumps(sent | {"": sorted(lost)}))

    def uploaded(self, repository: str | None = None) -> set[str]:
        """Return the paths that were uploaded to a repository, by default to any, including those it has lost."""
        return {path for name, paths in self._uploaded().items() if repository in (None, name) for path in paths}

    def _uploaded(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = load_json(self.get_meta("sent") or "{}")
        return found

    @property
    def layers_are_elsewhere(self) -> bool:
        """Whether the catalog was made from tables alone: their layers files were never in this folder."""
        return self.get_meta("layers_elsewhere") == "1"

    @layers_are_elsewhere.setter
    def layers_are_elsewhere(self, value: bool) -> None:
        self.set_meta("layers_elsewhere", str(int(value)))
