"""A dataset in an object store while a run works on its working folder: save what has changed."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Final

from filtercrawl.api.errors import ConflictError
from filtercrawl.config import Settings
from filtercrawl.dataset.card import card
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.stored_layers import LAYERS, absent, lacking, stored_layers
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.object_store.commits import Commit, CommitLog, blob
from filtercrawl.dataset.object_store.layer_uploads import UploadingLayerStore
from filtercrawl.dataset.object_store.lease import Lease
from filtercrawl.dataset.object_store.objects import ObjectStore
from filtercrawl.dataset.object_store.working_folder import WorkingFolder

logger = logging.getLogger(__name__)

# How often a long run saves what it has read.
_SAVE_SECONDS: Final = 600.0
# There where a run has written after another one took over: the next one puts everything in its place.
_UNCLEAN: Final = f"{HIDDEN}/unclean"
# Readers find by them what else there is: they are shown after all other files.
_SHOWN_LAST: Final = (card.PATH, manifest.PATH)


class StoredDataset:
    """A dataset in an object store while a run works on its working folder.

    Attributes:
        layers: Where the layers files are.
    """

    def __init__(self, settings: Settings, store: ObjectStore, lease: Lease | None, base: Commit | None) -> None:
        """Prepare to save a folder that was brought to the commit `base`; without a lease it is only read."""
        self._store, self._lease, self._dataset = store, lease, settings.dataset
        self._folder, self._log = WorkingFolder(settings.dataset), CommitLog(store)
        self._base = base
        self._saved = time.monotonic()
        self._workers_upload = settings.engine == "ray"
        # Until the store holds what a commit names and nothing else: readers may see another state, and there may be
        # objects of a killed run.
        self._clean = lease is None or (lease.clean and store.read(_UNCLEAN) is None)
        self.layers = UploadingLayerStore(store, settings.dataset, frozenset() if self._clean else self._lost_layers())

    @property
    def save_is_due(self) -> bool:
        """Whether the last save was long enough ago."""
        return time.monotonic() - self._saved >= _SAVE_SECONDS

    def resume_uploads(self) -> None:
        """Upload the layers files that a killed run left in the folder, and delete what its workers left unfinished."""
        if not self._clean:
            self.layers.delete_staged()
        with Catalog(self._dataset) as catalog:
            left = [path for path in stored_layers(self._dataset) if catalog.has_layer_file(path)]
        for path in left:
            self.layers.added(path)

    def save(self) -> None:
        """Make the state of the folder the one of the store, if they differ; its tables are up to date.

        Contents go into the store before the commit that names them, and what readers see changes after it. Killed at
        any moment, the next run finds the state before or the new one.

        Raises:
            ConflictError: Another run has taken over the dataset.
            NetworkError: The store cannot be reached; the next run saves what this one has left.
        """
        self.layers.flush()
        if self._lease is None:
            return
        self._lease.check()
        self._saved = time.monotonic()
        files, base = self._folder.files(), self._base
        if not files or (base is not None and base.files == files and self._clean):
            self._delete_uncommitted()
            return
        commit = Commit(number=1 + (base.number if base else 0), id=secrets.token_hex(16), files=files)
        was_clean, self._clean = self._clean, False
        known = {file.sha256 for file in base.files.values()} if base else set()
        new = {blob(file.sha256): self._dataset / path for path, file in files.items() if file.sha256 not in known}
        self._store.upload(new)
        self._folder.note_next(commit)
        if not self._log.append(commit):
            raise self._lease.overtaken()
        logger.info("saved %s as commit %d", self._store.url, commit.number)
        self._check_alone()
        self._show(commit, base if was_clean else None)
        self._delete_unnamed(commit, base if was_clean else None)
        self._check_alone()
        with Catalog(self._dataset) as catalog:
            self._folder.note(commit, layers_files(catalog))
        self._base, self._clean = commit, True

    def delete_staged(self) -> None:
        """Delete what workers have uploaded and the run did not keep."""
        if self._workers_upload:
            self.layers.delete_staged()
            self._workers_upload = False

    def end(self) -> None:
        """Give the lease back, with a note whether the store may hold what no commit names."""
        self.layers.close()
        if self._lease is not None:
            self._lease.end(clean=self._clean and not self._workers_upload and not self.layers.take_uploaded())

    def _lost_layers(self) -> frozenset[str]:
        """Return the layers files that the store should have and has not, where somebody has deleted them."""
        with Catalog(self._dataset) as catalog:
            return frozenset(absent(lacking(layers_files(catalog), self._store.list(LAYERS)), self._dataset))

    def _check_alone(self) -> None:
        """Leave a note where this run was asleep after its commit and may have undone what another has saved since."""
        assert self._lease is not None
        try:
            self._lease.check()
        except ConflictError:
            self._store.write(_UNCLEAN, b"")
            raise

    def _show(self, commit: Commit, base: Commit | None) -> None:
        """Copy the files of a commit to the names that readers know; all of them where the base is None."""
        before: Mapping[str, File] = base.files if base else {}
        changed = [file for path, file in commit.files.items() if before.get(path) != file]
        first = [file for file in changed if file.path not in _SHOWN_LAST]
        self._store.copy([(blob(file.sha256), file.path) for file in first])
        if base is None:
            shown = [path for path in self._store.list("") if not path.startswith((f"{HIDDEN}/", f"{LAYERS}/"))]
        else:
            shown = list(before)
        self._store.delete([path for path in shown if path not in commit.files])
        self._store.copy([(blob(file.sha256), file.path) for file in changed if file.path in _SHOWN_LAST])

    def _delete_unnamed(self, commit: Commit, base: Commit | None) -> None:
        """Delete what no commit names any more; where the base is None, all that this one does not name."""
        self._log.delete_before(commit)
        with Catalog(self._dataset) as catalog, closing(layers_files(catalog)) as named:
            if base is None:
                self.layers.take_uploaded()
                self._store.delete(list(lacking(self._store.list(LAYERS), named)))
                self._log.delete_unused_blobs(commit)
                self._store.delete([_UNCLEAN])
                return
            for batch in self._folder.dropped_layers(named):
                self._store.delete(batch)
        used = {file.sha256 for file in commit.files.values()}
        self._store.delete([blob(sha256) for sha256 in {file.sha256 for file in base.files.values()} - used])
        self._delete_uncommitted()

    def _delete_uncommitted(self) -> None:
        """Delete the layers files that this run has uploaded and then did not keep."""
        with Catalog(self._dataset) as catalog:
            self._store.delete([path for path in self.layers.take_uploaded() if not catalog.has_layer_file(path)])


def layers_files(catalog: Catalog) -> Generator[str, None, None]:
    """Yield the paths of the layers files of a dataset, sorted."""
    for path, _, _ in catalog.layer_files():
        yield path
