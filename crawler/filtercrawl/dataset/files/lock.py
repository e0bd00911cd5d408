"""Lock a dataset folder, so that one run at a time writes to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from filtercrawl.api.errors import ConflictError, DatasetError
from filtercrawl.dataset.files.layout import HIDDEN


@contextmanager
def locked(dataset: Path) -> Iterator[None]:
    """Hold the lock of the dataset. It is the operating system's, so it ends with its process in any case.

    Raises:
        ConflictError: Another process holds it.
        DatasetError: The folder cannot be written.
    """
    folder = dataset / HIDDEN
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
    finally:
        lock.release()
