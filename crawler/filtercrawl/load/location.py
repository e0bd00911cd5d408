"""Where a dataset is: a folder, or a repository on the Hub at one commit."""

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
from filtercrawl.dataset.files.dataset_folder import DatasetFolder, no_dataset
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.load.hub_location import HubLocation
from filtercrawl.transport.hub import translate_hub_errors

_REPOSITORY: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\S+))?", re.ASCII)


class DatasetLocation(Protocol):
    """A dataset to read. A pickled location stays at the same dataset and commit."""

    @property
    def root(self) -> Path:
        """The local folder below which `file` returns files."""
        ...

    def index(self) -> tuple[Path, ...]:
        """Return the local files of `index`, in the order of its rows."""
        ...

    def file(self, path: str) -> Path:
        """Return a published file as a local file, downloaded if necessary."""
        ...

    def source(self, path: str) -> Path | BinaryIO:
        """Return what to read a published file from; only the bytes that are read are fetched."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class FolderLocation:
    """A dataset folder."""

    root: Path

    def index(self) -> tuple[Path, ...]:
        paths = files_of(self.root, "index")
        if not paths:
            DatasetFolder(self.root).require()
            raise DatasetError(f"{self.root}: has no layers yet, there is no data/index; run `filtercrawl sync`")
        return tuple(paths)

    def file(self, path: str) -> Path:
        if not (self.root / path).is_file():
            raise DatasetError(f"{self.root}: there is no {path}")
        return self.root / path

    def source(self, path: str) -> Path:
        return self.root / path

    def __str__(self) -> str:
        return str(self.root)


def open_location(repo_or_path: str | Path, revision: str | None = None) -> FolderLocation | HubLocation:
    """Find a dataset.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`. A folder that exists is preferred.
        revision: A branch, tag or commit of a repository; None for the one in `repo_or_path`, or else `main`.

    Raises:
        DatasetError: The text names neither a folder nor a repository.
        UsageError: A revision is given twice, or of a folder.
        NetworkError: The Hub cannot be reached, or has no such repository or revision.
    """
    folder = Path(repo_or_path)
    if folder.is_dir():
        if revision is not None:
            raise UsageError(f"{folder}: is a folder, which has no revision {revision!r}")
        return FolderLocation(folder)
    name = _REPOSITORY.fullmatch(repo_or_path) if isinstance(repo_or_path, str) else None
    if name is None:
        raise no_dataset(repo_or_path)
    if name[2] and revision is not None:
        raise UsageError(f"{repo_or_path}: the revision is given twice, as @{name[2]} and as revision={revision!r}")
    return HubLocation.open(name[1], revision or name[2])


def read_dataset_id(location: DatasetLocation) -> str | None:
    """Return the id that a dataset keeps for all its versions; None where no manifest states one.

    Raises:
        DatasetError: The manifest cannot be read.
        NetworkError: The Hub does not answer.
    """
    found: str | None = DatasetFolder(location.root, str(location)).manifest().get("dataset_id")
    return found


@contextmanager
def open_parquet(location: DatasetLocation, path: str) -> Iterator[pq.ParquetFile]:
    """Open a layers file.

    Raises:
        DatasetError: The path is not that of a layers file, or the file cannot be read.
        NetworkError: The Hub does not answer.
    """
    # The path was written by whoever published the dataset.
    pure = PurePosixPath(path)
    if pure.parts[:2] != ("data", "layers") or ".." in pure.parts or "\\" in path or "\0" in path:
        raise DatasetError(f"{location}: {path!r} in data/index is not the path of a layers file")
    # Without buffering every column would be a request of its own.
    with reading(location, path), pq.ParquetFile(location.source(path), pre_buffer=True) as file:
        yield file


@contextmanager
def reading(location: DatasetLocation, path: str) -> Iterator[None]:
    """Translate errors of reading one published file into DatasetError and NetworkError."""
    translated = (
        translate_hub_errors(f"{location}: {path}")
        if isinstance(location, HubLocation)
        else _translate_os_errors(f"{location}/{path}")
    )
    with translated:
        try:
            yield
        except (pa.ArrowException, ValueError) as error:
            raise DatasetError(f"{location}/{path}: cannot be read ({error})") from error


@contextmanager
def _translate_os_errors(description: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(f"{description}: the file is missing; `filtercrawl sync` writes it again") from error
    except OSError as error:
        raise DatasetError(f"{description}: cannot be read ({error.strerror or error})") from error
