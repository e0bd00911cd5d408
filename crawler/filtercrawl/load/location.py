"""Where a dataset lies: a folder, or a repo on the Hub at one commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.load.hub_dataset import HubDataset
from filtercrawl.transport.hub import translate_hub_errors

INDEX_PATH: Final = "data/index.parquet"
_REPO: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\S+))?", re.ASCII)


class DatasetLocation(Protocol):
    """A dataset that is read; pickled, it is the same dataset at the same commit."""

    def index(self) -> Path:
        """Return `index` as a file of this machine."""
        ...

    def source(self, path: str) -> Path | BinaryIO:
        """Return what to read a published file from; only what is read of it is fetched."""
        ...

    def __str__(self) -> str: ...


def open_location(repo_or_path: str | Path) -> DatasetLocation:
    """Find the dataset at `repo_or_path`: a folder, `org/name` or `org/name@revision`; where both could be meant, the
    folder.

    Raises DatasetError for a folder that holds none, UsageError for a text that is neither.
    """
    folder = Path(repo_or_path)
    if folder.is_dir():
        return _Folder(folder)
    named = _REPO.fullmatch(repo_or_path) if isinstance(repo_or_path, str) else None
    if named is None:
        raise UsageError(f"{repo_or_path}: no such folder, and no `org/name` or `org/name@revision` of the Hub")
    return HubDataset.open(named[1], named[2], INDEX_PATH)


@contextmanager
def open_parquet(dataset: DatasetLocation, path: str) -> Iterator[pq.ParquetFile]:
    """Open a file of `layers`; raises DatasetError or NetworkError where it cannot be read."""
    # The path was written by whoever published the dataset.
    pure = PurePosixPath(path)
    if pure.parts[:2] != ("data", "layers") or ".." in pure.parts or "\\" in path or "\0" in path:
        raise DatasetError(f"{dataset}: {path!r} in {INDEX_PATH} is no place of a file of layers")
    with (
        translate_hub_errors(f"{dataset}: {path}") if isinstance(dataset, HubDataset) else _reading(f"{dataset}/{path}")
    ):
        try:
            # Without buffering every column would be a request of its own.
            with pq.ParquetFile(dataset.source(path), pre_buffer=True) as file:
                yield file
        except (pa.ArrowException, ValueError) as error:
            raise DatasetError(f"{dataset}/{path}: cannot be read ({error})") from error


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{what}: cannot be read ({error.strerror or error})") from error


@dataclass(frozen=True)
class _Folder:
    root: Path

    def index(self) -> Path:
        path = self.root / INDEX_PATH
        if not path.is_file():
            raise DatasetError(f"{self.root}: holds no dataset, there is no {INDEX_PATH}")
        return path

    def source(self, path: str) -> Path:
        return self.root / path

    def __str__(self) -> str:
        return str(self.root)
