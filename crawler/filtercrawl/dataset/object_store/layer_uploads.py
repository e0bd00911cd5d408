"""The layers files of a dataset in an object store: in the working folder only until they are uploaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import FiltercrawlError
from filtercrawl.dataset.files.atomic import remove
from filtercrawl.dataset.files.layer_store import LocalLayerStore
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.object_store.objects import ObjectStore

__all__ = ["STAGED", "UploadingLayerStore"]

# Layers files that workers have uploaded and that the run has not yet committed.
STAGED: Final = f"{HIDDEN}/staged"

_UPLOADS: Final = 4
# Files that may wait for their upload: a run that reads faster than it uploads waits, and does not fill the disk.
_WAITING: Final = 16


class UploadingLayerStore:
    """Implements `LayerStore`: uploads layers files in the background and deletes the local copies.

    The name of a layers file has the digest of its rows, so that nobody has to be asked before one is uploaded, and
    uploading it again changes nothing. A local copy is deleted after its upload: what a killed run left in the folder
    is what is still to be uploaded.
    """

    def __init__(self, store: ObjectStore, folder: Path, lost: Set[str] = frozenset()) -> None:
        """Prepare to upload from a working folder; `lost` are files that the store should have and has not."""
        self._store, self._folder, self._lost = store, folder, lost
        self._pool = ThreadPoolExecutor(_UPLOADS, "upload")
        self._slots = threading.BoundedSemaphore(_WAITING)
        self._pending: dict[str, Future[None]] = {}
        self._uploaded: set[str] = set()
        self._fetched: set[str] = set()

    def contains(self, path: str) -> bool:
        """Tell whether a file of the catalog is stored: what is not in the folder was uploaded, unless it is lost."""
        return path not in self._lost or (self._folder / path).is_file()

    def can_fetch(self, path: str) -> bool:
        """Tell whether a file of the catalog is in the folder or can be downloaded."""
        return self.contains(path)

    def fetch(self, path: str) -> None:
        """Download a file; it stays until the next `flush`.

        Raises:
            DatasetError: Somebody has deleted it in the store.
            NetworkError: It cannot be uploaded or downloaded.
        """
        self._wait([path])  # its local copy is about to be deleted
        if not (self._folder / path).is_file():
            scratch = self._folder / f"{path}.part"
            self._store.download({path: scratch})
            scratch.replace(self._folder / path)
            self._fetched.add(path)

    def added(self, path: str) -> None:
        """Upload a file of the folder in the background; waits where too many wait already.

        Raises:
            NetworkError: An earlier upload has failed; that file is still in the folder.
        """
        self._begin(path, lambda: self._upload(path))

    def take(self, uploaded: str, path: str) -> None:
        """Move a file that a worker has uploaded to its place, in the background, within the store.

        A run that is killed before that reads the checkpoint again.

        Raises:
            NetworkError: An earlier upload has failed.
        """
        self._begin(path, lambda: self._move(uploaded, path))

    def delete_staged(self) -> None:
        """Delete what workers have uploaded and no run will commit any more.

        Raises:
            NetworkError: The store cannot be reached.
        """
        self._store.delete(self._store.list(STAGED))

    def free_space(self) -> int:
        """Wait until all files are uploaded; return the bytes of those that are still in the folder."""
        self.flush()
        return LocalLayerStore(self._folder).free_space()

    def flush(self) -> None:
        """Wait until all files are uploaded, and delete the copies that were downloaded.

        Raises:
            NetworkError: An upload has failed; the file is still in the folder.
        """
        self._wait(list(self._pending))
        for path in self._fetched:
            remove(self._folder / path)
        self._fetched.clear()

    def take_uploaded(self) -> set[str]:
        """Return the paths that were uploaded since the last call."""
        taken, self._uploaded = self._uploaded, set()
        return taken

    def close(self) -> None:
        """End the uploads; those that have not begun are left for the next run."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, path: str, upload: Callable[[], None]) -> None:
        self._wait([other for other, pending in self._pending.items() if pending.done()])
        self._slots.acquire()
        self._pending[path] = self._pool.submit(upload)

    def _wait(self, paths: Iterable[str]) -> None:
        for path in paths:
            upload = self._pending.pop(path, None)
            if upload is not None:
                upload.result()

    def _upload(self, path: str) -> None:
        file = self._folder / path
        try:
            if file.is_file():
                self._uploaded.add(path)  # also where it fails: the store may have it all the same
                self._store.upload({path: file})
                remove(file)
        except FiltercrawlError:
            if file.is_file():  # else its checkpoint was replaced meanwhile, and nobody needs it
                raise
        finally:
            self._slots.release()

    def _move(self, uploaded: str, path: str) -> None:
        try:
            self._uploaded.add(path)  # also where it fails: the store may have it all the same
            self._store.copy([(uploaded, path)])
            self._store.delete([uploaded])
        finally:
            self._slots.release()
