"""A folder that appears when it is complete."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filtercrawl.api.errors import DatasetError, PolicyError


@contextmanager
def new_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """Give a folder to write into, which is moved to `target`, durably, when the block ends without an error.

    Args:
        target: The folder.
        replace: Whether to replace a folder that exists; it is deleted when the new one is in its place.

    Raises:
        PolicyError: The folder exists.
        DatasetError: It cannot be written.
    """
    if target.exists() and not replace:
        raise PolicyError(f"{target} exists; --force replaces it")
    staged = target.parent / f".{target.name}-{secrets.token_hex(8)}"
    try:
        staged.mkdir(parents=True)
        yield staged
        _move(staged, target)
    except OSError as error:
        raise DatasetError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _move(staged: Path, target: Path) -> None:
    for path in (*staged.rglob("*"), staged):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    before = staged.with_name(f"{staged.name}-before")
    if target.exists():
        target.rename(before)
    staged.rename(target)
    shutil.rmtree(before, ignore_errors=True)
