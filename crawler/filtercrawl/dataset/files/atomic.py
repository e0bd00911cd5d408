"""Atomic, durable writes: a file appears as a whole or not at all, even if the machine stops."""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.unpublished import CATALOG, TEMPORARY


@contextmanager
def atomic_write(target: Path, dataset: Path) -> Iterator[Path]:
    """Yield a free path to write to; when the block ends without an error its file becomes `target`.

    A target that already holds the same bytes stays as it is, time stamps included. Any error in the block
    leaves the target alone.

    Raises:
        DatasetError: The disk refuses.
    """
    with temporary(target, dataset) as path:
        yield path
        replace_if_changed(path, target)


@contextmanager
def temporary(target: Path, dataset: Path) -> Iterator[Path]:
    """Yield a free path inside `dataset` for what may become `target`; it is deleted when the block ends."""
    folder = dataset / TEMPORARY
    path = folder / f".{os.getpid()}-{secrets.token_hex(8)}-{target.name[-80:]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _disk_error(target, error) from error


def replace_if_changed(path: Path, target: Path) -> bool:
    """Move the finished file at `path` over `target`, durably; False, and no move, if both are the same."""
    try:
        if target.is_file() and filecmp.cmp(path, target, shallow=False):
            return False
        sync_to_disk(path)
    except OSError as error:
        raise _disk_error(target, error) from error
    move(path, target)
    return True


def move(path: Path, target: Path) -> None:
    """Move a file that the disk has over `target`, durably."""
    try:
        _make_folder(target.parent)
        path.replace(target)
        sync_to_disk(target.parent)
    except OSError as error:
        raise _disk_error(target, error) from error


def write_text(target: Path, dataset: Path, text: str) -> bool:
    """Make `target` hold `text` in UTF-8, line ends as given; False if it did already."""
    return write_bytes(target, dataset, text.encode())


def write_bytes(target: Path, dataset: Path, data: bytes) -> bool:
    """Make `target` hold `data`; False if it did already."""
    with temporary(target, dataset) as path:
        path.write_bytes(data)
        return replace_if_changed(path, target)


def remove(target: Path) -> bool:
    """Delete a file durably; False if there is none."""
    try:
        target.unlink()
        sync_to_disk(target.parent)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _disk_error(target, error) from error
    return True


def remove_temporary_files(dataset: Path) -> None:
    """Delete unfinished files of killed runs; only while holding the lock of the dataset."""
    for path in (dataset / TEMPORARY).glob(".*"):
        if path.is_dir():  # of workers of another process
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)


def remove_empty_scratch(folder: Path) -> None:
    """Delete the folder of unfinished files below a folder that is no dataset; one that has files stays."""
    if (folder / CATALOG).exists():
        return
    for empty in (folder / TEMPORARY, (folder / TEMPORARY).parent):
        with suppress(OSError):
            empty.rmdir()


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_to_disk(folder.parent)


def sync_to_disk(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk_error(target: Path, error: OSError) -> DatasetError:
    reason = error.strerror or error
    return DatasetError(f"{target}: cannot be written ({reason}); see to the disk and run again")


def may_write(folder: Path) -> bool:
    """Return whether files may be made in a folder, by its permissions and the mode of its disk."""
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)
