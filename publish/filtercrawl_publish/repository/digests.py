"""Digests of local files: SHA-256, and the object id that git gives a blob."""

from __future__ import annotations

import hashlib
from pathlib import Path

from filtercrawl.dataset.files.parquet import File

__all__ = ["file_info", "file_sha256", "git_oid"]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_info(folder: Path, path: str) -> File:
    """Return path, size and SHA-256 of a file in a folder."""
    return File(path=path, size=(folder / path).stat().st_size, sha256=file_sha256(folder / path))


def git_oid(data: bytes) -> str:
    """Return the git object id of a blob, 40 hex digits."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
