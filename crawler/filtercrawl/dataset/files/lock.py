"""Lock a dataset folder, so that one run at a time writes to it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from filtercrawl.api.errors import ConflictError, DatasetError, UsageError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import no_dataset
from filtercrawl.dataset.files.unpublished import CATALOG, HIDDEN

# A folder with one of them holds a dataset: crawled here, or downloaded.
_DATASET_FILES: Final = (CATALOG, manifest.PATH, "data/models", "data/models.parquet")


@contextmanager
def locked(dataset: Path, *, create: bool = False) -> Iterator[None]:
    """Hold the lock of the dataset. It is the operating system's, so it ends with its process in any case.

    Args:
        dataset: The dataset folder.
        create: Make the folder if there is none, or if it holds no dataset yet.

    Raises:
        ConflictError: Another process holds it.
        DatasetError: The folder cannot be written, or holds no dataset and `create` is false.
        UsageError: The folder holds files, but no dataset.

    If the block ends with UsageError and the dataset was made by it, the folder is removed again.
    """
    if not any((dataset / path).exists() for path in _DATASET_FILES):
        if not create:
            raise no_dataset(dataset)
        if _holds_other_files(dataset):
            raise UsageError(
                f"{dataset}: holds files, but no dataset of filtercrawl; name a new or an empty folder by --dataset"
            )
    folder = dataset / HIDDEN
    is_new = not folder.exists()
    holder = folder / "holder"
    lock = FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text("utf-8").strip() if holder.is_file() else "another process"
        raise ConflictError(f"{dataset}: {who} is at work on this dataset; try again when it is done") from None
    except OSError as error:
        raise DatasetError(
            f"{dataset}: cannot be written ({error.strerror or error}); choose another --dataset"
        ) from error
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", "utf-8")
        yield
    except UsageError:  # found before anything was read: a name that does not exist makes no folder
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # it holds other files
                dataset.rmdir()
        raise
    finally:
        lock.release()


def _holds_other_files(folder: Path) -> bool:
    """Return whether a folder without a dataset holds something; hidden files, as of version control, do not count."""
    if (folder / HIDDEN).is_dir():  # left by a first run that was killed
        return False
    try:
        return any(not path.name.startswith(".") for path in folder.iterdir())
    except OSError:  # there is no such folder, or it cannot be used, which whoever creates it finds out
        return False
