"""A folder that appears when it is complete, or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import DatasetError, PolicyError, UsageError
from filtercrawl.dataset.files.atomic import sync_to_disk

_PREFIX: Final = ".unfinished-"


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
    check_free(target, replace=replace)
    place = target.resolve()  # a link stays a link
    with unfinished_folder(place) as folder:
        yield folder
        move_folder(folder, place)


def check_free(target: Path, *, replace: bool) -> None:
    """Refuse a folder that exists, unless it may be replaced, and what is no folder.

    Raises:
        PolicyError: The folder exists, or something else of this name.
    """
    if target.exists() and not target.is_dir():
        raise PolicyError(f"{target} exists and is no folder; name another one")
    if target.exists() and not replace:
        raise PolicyError(f"{target} exists; --force replaces it")


def check_apart(target: Path, dataset: str | Path) -> None:
    """Refuse to write over a dataset that is read, or among its files.

    Args:
        target: The folder that is to be written.
        dataset: The folder of a dataset; a repository is never in the way.

    Raises:
        UsageError: The dataset is in the folder, or the folder in the dataset.
    """
    place, root = target.resolve(), Path(dataset).resolve()
    if root.is_dir() and (place.is_relative_to(root) or root.is_relative_to(place)):
        raise UsageError(f"{target}: has the dataset {dataset} in it, or is in it; name a folder beside the dataset")


@contextmanager
def unfinished_folder(target: Path) -> Iterator[Path]:
    """Give a new folder beside `target`, under a hidden name; it is deleted when the block ends.

    Raises:
        DatasetError: An error of the disk in the block, or in making the folder.
    """
    folder = target.parent / f"{_PREFIX}{target.name}-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise DatasetError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_folder(folder: Path, target: Path) -> None:
    """Move a complete folder to `target`, durably, and delete the folder that was there.

    A folder cannot be replaced in one step: of a process that is killed in between, the old folder is left under its
    hidden name, and there is no `target`.
    """
    for path in (*folder.rglob("*"), folder):
        sync_to_disk(path)
    before = folder.with_name(f"{folder.name}-before")
    replaces = target.exists()
    if replaces:
        target.rename(before)
    try:
        folder.rename(target)
    except BaseException:
        if replaces:
            before.rename(target)
        raise
    sync_to_disk(target.parent)
    if replaces:
        shutil.rmtree(before, ignore_errors=True)


def remove_unfinished(parent: Path, name: str | None = None) -> None:
    """Delete what killed processes left beside the folder `name` of `parent`, or all; nobody else may write it now."""
    pattern = re.compile(
        rf"{re.escape(_PREFIX)}{'.*' if name is None else re.escape(name)}-[0-9]+-[0-9a-f]{{16}}(-before)?"
    )
    with suppress(OSError):
        for path in list(parent.iterdir()):
            if pattern.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)
