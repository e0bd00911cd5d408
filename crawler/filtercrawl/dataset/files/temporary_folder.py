"""Temporary folders; what a killed process left is removed when the next one is made."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir  # noqa: TID251 - this is what others are to use
from typing import Final

from filelock import FileLock, Timeout

_PREFIX: Final = "filtercrawl-"
_LOCK: Final = "lock"
_FILES: Final = "files"
# A younger folder may belong to a process that is about to lock it.
_MIN_AGE_SECONDS: Final = 60.0


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder, in the system's folder for temporary files, that is deleted at the end of the block.

    Only its owner can read it. The lock beside it is the operating system's and ends with its process in any case,
    which is how folders of killed processes are told from those in use.
    """
    _remove_abandoned(Path(gettempdir()))
    with TemporaryDirectory(prefix=_PREFIX) as name, FileLock(Path(name, _LOCK)):
        folder = Path(name, _FILES)
        folder.mkdir()
        yield folder


def _remove_abandoned(parent: Path) -> None:
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError, Timeout):  # of another user, in use, or just deleted
            if _was_made_here(lock.parent) and time.time() - lock.lstat().st_mtime > _MIN_AGE_SECONDS:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(lock.parent, ignore_errors=True)


def _was_made_here(folder: Path) -> bool:
    """Tell whether a folder is one of this module and of this user, and not of a similar name only."""
    is_ours = not folder.is_symlink() and folder.lstat().st_uid == os.getuid()
    return is_ours and {path.name for path in folder.iterdir()} <= {_LOCK, _FILES}
