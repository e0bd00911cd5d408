"""The working folder of a dataset in an object store: catalog and tables, and which commit they continue.

Everything in it can be restored from the store, but for what a run has read since its last commit.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import remove, write_bytes, write_text
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.stored_layers import LAYERS, lacking
from filtercrawl.dataset.files.unpublished import HIDDEN, TEMPORARY
from filtercrawl.dataset.object_store.commits import REPAIR, Commit, blob
from filtercrawl.dataset.object_store.objects import ObjectStore

__all__ = ["WorkingFolder"]

_STATE: Final = f"{HIDDEN}/commit.json"
_OWNER: Final = f"{HIDDEN}/owner"
# The layers files that the last commit names, a line each, sorted.
_LAYERS_LIST: Final = f"{HIDDEN}/layers.txt"
_BATCH: Final = 1000


class WorkingFolder:
    """Catalog and tables of a dataset in an object store, on this machine.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def owner(self) -> str:
        """A name for this folder on this machine, of which two never hold one lease."""
        stored = self.path / _OWNER
        if not stored.is_file():
            write_text(stored, self.path, secrets.token_hex(8))
        return f"{stored.read_text('utf-8')} on {socket.gethostname()}"

    def continues(self, commit: Commit | None) -> bool:
        """Tell whether the folder has everything that the last commit of the store names.

        A folder without a state is one of a first run that was killed before its first commit.
        """
        state = self._state()
        if commit is None:
            return "id" not in state
        return commit.id in (state.get("id"), state.get("next"))

    def clear(self) -> None:
        """Delete everything but the name and the lock of the folder."""
        remove(self.path / _STATE)  # first: a folder without it is restored
        kept = {self.path / HIDDEN / name for name in ("owner", "session.lock")}
        for found in (*self.path.iterdir(), *(self.path / HIDDEN).iterdir()):
            if found.is_dir() and found.name != HIDDEN:
                shutil.rmtree(found)
            elif found.is_file() and found not in kept:
                found.unlink()

    def download(self, commit: Commit, store: ObjectStore) -> None:
        """Download the files that a commit names into the folder, which is empty.

        Raises:
            DatasetError: A file is missing, or is not what the commit names.
        """
        scratch = self.path / TEMPORARY / ".restored"
        by_content = {file.sha256: file for file in commit.files.values()}
        store.download({blob(sha256): scratch / sha256 for sha256 in by_content})
        for file in commit.files.values():
            stored = manifest.hashed_file(scratch, file.sha256)
            if (stored.size, stored.sha256) != (file.size, file.sha256):
                raise DatasetError(
                    f"{store.url}/{blob(file.sha256)}: is damaged, or is no longer {file.path}; {REPAIR}"
                )
            (self.path / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(scratch / file.sha256, self.path / file.path)
        shutil.rmtree(scratch, ignore_errors=True)

    def files(self) -> Mapping[str, File]:
        """Return all files that belong to the dataset, but the layers; only what has changed is read for its hash."""
        known = self._state().get("files", {})
        found = {}
        for path in self._paths():
            stat = (self.path / path).stat()
            size, changed, sha256 = known.get(path, (None, None, None))
            if (size, changed) == (stat.st_size, stat.st_mtime_ns):
                found[path] = File(path=path, size=size, sha256=sha256)
            else:
                found[path] = manifest.hashed_file(self.path, path)
        return found

    def note_next(self, commit: Commit) -> None:
        """Note the commit that is about to be made: if it comes to be, this folder continues it."""
        self._write_state(self._state() | {"next": commit.id})

    def note(self, commit: Commit, layers: Iterable[str]) -> None:
        """Note that the folder continues a commit, which names these layers files, sorted."""
        with (self.path / f"{_LAYERS_LIST}.part").open("w", encoding="utf-8") as lines:
            lines.writelines(f"{path}\n" for path in layers)
        (self.path / f"{_LAYERS_LIST}.part").replace(self.path / _LAYERS_LIST)
        files = {}
        for path, file in commit.files.items():
            stat = (self.path / path).stat()
            files[path] = (file.size, stat.st_mtime_ns, file.sha256)
        self._write_state({"id": commit.id, "files": files})

    def dropped_layers(self, layers: Iterable[str]) -> Iterator[list[str]]:
        """Yield, in batches, the layers files that the noted commit names and that are not among these, sorted."""
        if not (self.path / _LAYERS_LIST).is_file():
            return
        with (self.path / _LAYERS_LIST).open(encoding="utf-8") as lines:
            dropped = lacking((line.rstrip("\n") for line in lines), layers)
            while batch := list(islice(dropped, _BATCH)):
                yield batch

    def _paths(self) -> Iterator[str]:
        for walked, folders, names in os.walk(self.path):
            here = Path(walked).relative_to(self.path).as_posix()
            folders[:] = sorted(name for name in folders if not name.startswith(".") and f"{here}/{name}" != LAYERS)
            yield from (f"{here}/{name}".removeprefix("./") for name in sorted(names) if not name.startswith("."))

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.path / _STATE).read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _write_state(self, state: Mapping[str, Any]) -> None:
        write_bytes(self.path / _STATE, self.path, json.dumps(state).encode())
