"""Work on a dataset in an object store: take the lease, restore the working folder, save it at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from filelock import FileLock, Timeout

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, ConflictError, DatasetError, UsageError
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import open_catalog
from filtercrawl.dataset.files.stored_layers import LAYERS
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.object_store.commits import Commit, CommitLog
from filtercrawl.dataset.object_store.lease import Lease
from filtercrawl.dataset.object_store.objects import ObjectStore
from filtercrawl.dataset.object_store.stored_dataset import StoredDataset, layers_files
from filtercrawl.dataset.object_store.working_folder import WorkingFolder

__all__ = ["stored_dataset"]

# How long another run has to wait for one that died on another machine.
_LEASE_SECONDS: Final = 300.0


@contextmanager
def stored_dataset(
    settings: Settings,
    progress: Progress | None = None,
    cancellation: CancellationToken | None = None,
    *,
    create: bool = False,
    read_only: bool = False,
) -> Iterator[StoredDataset | None]:
    """Bring the working folder of a dataset in an object store up to date, and save it when the block ends.

    Args:
        settings: Name the dataset; with that of a folder nothing happens.
        progress: Receives a line for each step.
        cancellation: Cancelled when somebody else has taken over the dataset.
        create: Begin a dataset where there is none.
        read_only: Take no lease and save nothing.

    Yields:
        The dataset; None for one in a folder.

    Raises:
        ConflictError: Another run works on the dataset, or has taken it over.
        DatasetError: There is no dataset, no bucket, or an object is damaged.
        NetworkError: The store cannot be reached or refuses.
        PolicyError: The store has no conditional writes.
        UsageError: No library knows the URL, or there are objects of something else below it.
    """
    if settings.dataset_url is None:
        yield None
        return
    store, folder = ObjectStore(settings.dataset_url), WorkingFolder(settings.dataset)
    store.check()
    _check_place(store, create=create)
    if read_only:
        # Where another process is at work, that has restored the folder; none has to wait until this one has read it.
        with suppress(ConflictError), _only_process(settings):
            _restore(settings, store, progress or NullProgress())
        dataset = StoredDataset(settings, store, None, None)
        try:
            yield dataset
        finally:
            dataset.end()
        return
    with _only_process(settings):
        cancel = (cancellation or CancellationToken()).cancel
        lease = Lease(store, folder.owner, cancel, _LEASE_SECONDS)
        try:
            base = _restore(settings, store, progress or NullProgress())
            dataset = StoredDataset(settings, store, lease, base)
        except BaseException:
            lease.end(clean=lease.clean)
            raise
        try:
            dataset.resume_uploads()
            yield dataset
            dataset.save()
            dataset.delete_staged()
        except Cancelled:
            if lease.lost:  # which is why
                raise lease.overtaken() from None
            raise
        finally:
            dataset.end()


@contextmanager
def _only_process(settings: Settings) -> Iterator[None]:
    """Hold the lock of a working folder, which is made if there is none."""
    hidden = settings.dataset / HIDDEN
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        lock = FileLock(hidden / "session.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise ConflictError(
            f"{settings.dataset_url}: another process on this machine is at work on this dataset; try again when it "
            "is done"
        ) from None
    except OSError as error:
        raise DatasetError(
            f"{settings.dataset}: the working folder of {settings.dataset_url} cannot be written "
            f"({error.strerror or error}); choose another --cache"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _check_place(store: ObjectStore, *, create: bool) -> None:
    """Check that a dataset is at a URL, or may be begun there: its first commit deletes all that is no part of it.

    Raises:
        DatasetError: There is no dataset, and none is to be begun.
        UsageError: There are objects that no run has left before its first commit.
    """
    if not CommitLog(store).is_empty():
        return
    if not create:
        raise DatasetError(f"{store.url}: no dataset here; `filtercrawl sync SELECTOR --dataset {store.url}` makes one")
    if any(not path.startswith((f"{HIDDEN}/", f"{LAYERS}/")) for path in store.list("")):
        raise UsageError(f"{store.url}: holds objects, but no dataset of filtercrawl; name an empty place by --dataset")


def _restore(settings: Settings, store: ObjectStore, progress: Progress) -> Commit | None:
    """Bring the working folder to the last commit, unless it has that already, with changes of its own or without.

    Returns:
        The last commit; None for a dataset that has none yet.
    """
    folder, commit = WorkingFolder(settings.dataset), CommitLog(store).latest()
    if not folder.continues(commit):
        folder.clear()
        if commit is not None:
            progress.message(f"restoring the tables of {store.url}")
            folder.download(commit, store)
            with open_catalog(settings) as catalog:
                catalog.set_meta("stale", "0")  # it was made from these tables
                folder.note(commit, layers_files(catalog))
    if commit is None:
        with Catalog(settings.dataset) as catalog:
            if not catalog.dataset_id:
                # From the URL, as that of a folder is from its path.
                catalog.set_meta("dataset_id", hashlib.sha256(store.url.encode()).hexdigest()[:16])
    return commit
