"""Compare a staged version with a repository, and upload the content of new files before the commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.formatting import format_size
from filtercrawl.api.progress import Progress
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.repository.base import CommitOperations, Repository, RepositoryFile
from filtercrawl_publish.repository.digests import file_sha256, git_oid
from filtercrawl_publish.repository.signature import SIGNATURE

__all__ = ["FileChanges", "batches", "compare_files", "upload_files"]

# One batch is uploaded between two progress messages.
_BATCH_FILES: Final = 200
_BATCH_BYTES: Final = 1024**3


@dataclass(frozen=True, kw_only=True)
class FileChanges:
    """How a staged version differs from the head of a repository.

    Attributes:
        add: New and changed files by path.
        delete: Files of the dataset that the version no longer has.
        same: Number of unchanged files.
    """

    add: dict[str, File]
    delete: tuple[str, ...]
    same: int

    @property
    def bytes(self) -> int:
        """Size of the new and changed files."""
        return sum(file.size for file in self.add.values())

    @property
    def paths(self) -> set[str]:
        """Everything that differs."""
        return {*self.add, *self.delete}

    def operations(self, folder: Path, uploaded: Mapping[str, File]) -> CommitOperations:
        """Return the operations of the commit.

        Args:
            folder: The dataset folder.
            uploaded: Files whose content the repository already has.
        """
        add = {path: folder / path for path in self.add if path not in uploaded}
        return CommitOperations(add=add, uploaded=uploaded, delete=self.delete)

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def compare_files(staged: StagedVersion, published: Mapping[str, RepositoryFile]) -> FileChanges:
    """Compare by path, size and digest; only small files for which the Hub states a git id are read.

    Other files that the version does not have belong to the repository's owner and stay.
    """
    add = {path: file for path, file in staged.files.items() if not _is_same(staged.folder, file, published.get(path))}
    folders, single_files = tuple(f"{part}/" for part in manifest.PARTS), {SIGNATURE, *manifest.SINGLE_FILES}
    owned = (path for path in published if path.startswith(folders) or path in single_files)
    delete = sorted(path for path in owned if path not in staged.files)
    return FileChanges(add=add, delete=tuple(delete), same=len(staged.files) - len(add))


def upload_files(
    files: Collection[File], folder: Path, repository: Repository, progress: Progress
) -> Iterator[frozenset[str]]:
    """Verify each file against the file list, and upload the large ones; readers see nothing of it.

    Yields:
        The paths that were uploaded, batch by batch.

    Raises:
        DatasetError: A file is missing or damaged.
    """
    done, total = 0, sum(file.size for file in files)
    for batch in batches(files):
        for file in batch:
            _verify(folder, file)
        uploaded = repository.upload({file.path: folder / file.path for file in batch})
        done += sum(file.size for file in batch)
        progress.message(f"uploaded {format_size(done)} of {format_size(total)}")
        yield uploaded


def _is_same(folder: Path, file: File, published: RepositoryFile | None) -> bool:
    if published is None or published.size != file.size:
        return False
    if published.sha256 is not None:
        return published.sha256 == file.sha256
    path = folder / file.path
    return path.is_file() and published.oid == git_oid(path.read_bytes())


def _verify(folder: Path, file: File) -> None:
    try:
        digest = file_sha256(folder / file.path)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{file.path}: missing both locally and in the repository; run `filtercrawl sync` to write it again"
        ) from error
    if digest != file.sha256:
        raise DatasetError(f"{file.path}: damaged, its SHA-256 does not match; delete it and run `filtercrawl sync`")


def batches(
    files: Iterable[File], max_files: int = _BATCH_FILES, max_bytes: int = _BATCH_BYTES
) -> Iterator[list[File]]:
    """Split files into batches of limited number and size, in order; a file above `max_bytes` is a batch by itself."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) >= max_files or size + file.size > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch
