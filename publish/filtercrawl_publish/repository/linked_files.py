"""Copy and link the files of versions in a folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

__all__ = ["copy_file", "link_file"]

_CHUNK_BYTES: Final = 1024 * 1024


def copy_file(source: Path, target: Path) -> str:
    """Copy a file and sync it to disk; return the SHA-256 of what was written."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as written:
        while chunk := read.read(_CHUNK_BYTES):
            digest.update(chunk)
            written.write(chunk)
        written.flush()
        os.fsync(written.fileno())
    return digest.hexdigest()


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        copy_file(source, target)
