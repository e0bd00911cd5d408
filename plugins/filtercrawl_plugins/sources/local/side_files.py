"""Small files of a folder that say something about the checkpoints in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl.api.local_file import LocalFile

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 64 * 1024 * 1024


def read_side_file(path: Path, root: Path) -> bytes:
    """Return the bytes of a small file; never waits for a pipe, and follows no link that leaves the folder.

    Args:
        path: The file.
        root: The folder that is listed.

    Raises:
        CheckpointError: It cannot be read, is no regular file, or is too large.
        UnsafeFileError: It is a link that leaves the folder.
    """
    with LocalFile(path) as file:
        if not file.lies_in(root):
            raise UnsafeFileError(f"{file.name}: is a link that leaves the folder")
        if file.size > MAX_BYTES:
            raise UnsafeFileError(f"{file.name}: has {file.size:,} bytes, at most {MAX_BYTES:,} are read")
        return file.read(0, file.size)
