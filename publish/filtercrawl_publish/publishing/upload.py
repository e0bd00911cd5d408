"""What a version changes in the place it goes to, and sending the large part of it ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.formatting import format_size
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.repository.base import CommitOperations, Repository, RepositoryFile, git_oid
from filtercrawl_publish.repository.signature import SIGNATURE

__all__ = ["FileChanges", "compare_files", "upload_files"]

# What is sent between two marks of progress.
_BATCH_FILES: Final = 200
_BATCH_BYTES: Final = 1024**3


@dataclass(frozen=True, kw_only=True)
class FileChanges:
    """add: files that the place has not, or has otherwise. delete: files of ours that the version has no more."""

    add: dict[str, File]
    delete: tuple[str, ...]
    same: int

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.add.values())

    @property
    def paths(self) -> set[str]:
        return {*self.add, *self.delete}

    def operations(self, folder: Path, uploaded: Mapping[str, File]) -> CommitOperations:
        """Return what is to be committed; uploaded: what of it the place has already."""
        add = {path: folder / path for path in self.add if path not in uploaded}
        return CommitOperations(add=add, uploaded=uploaded, delete=self.delete)

    def __bool__(self) -> bool:
        return bool(self.add or self.delete)


def compare_files(staged: StagedVersion, there: Mapping[str, RepositoryFile]) -> FileChanges:
    """Say what to send: by path, size and hash; of files that lie there under their own hash nothing is read.

    Files outside data/ and analysis/ that the version does not have are somebody else's, and stay.
    """
    add = {path: file for path, file in staged.files.items() if not _same(staged.folder, file, there.get(path))}
    ours = (*(f"{part}/" for part in manifest.PARTS), SIGNATURE)
    delete = sorted(path for path in there if path.startswith(ours) and path not in staged.files)
    return FileChanges(add=add, delete=tuple(delete), same=len(staged.files) - len(add))


def upload_files(
    files: Collection[File], folder: Path, repository: Repository, log: Callable[[str], None]
) -> Iterator[frozenset[str]]:
    """Check that every file to send is what the list says, and send the large ones; nobody sees them yet.

    Says how far it is. Yields the paths that went, as they did. Raises DatasetError where a file is missing or differs.
    """
    done, total = 0, sum(file.size for file in files)
    for batch in _batches(files):
        for file in batch:
            _check(folder, file)
        went = repository.upload({file.path: folder / file.path for file in batch})
        done += sum(file.size for file in batch)
        log(f"sent {format_size(done)} of {format_size(total)}")
        yield went


def _same(folder: Path, file: File, entry: RepositoryFile | None) -> bool:
    if entry is None or entry.size != file.size:
        return False
    if entry.sha256 is not None:
        return entry.sha256 == file.sha256
    path = folder / file.path
    return path.is_file() and entry.oid == git_oid(path.read_bytes())


def _check(folder: Path, file: File) -> None:
    try:
        with (folder / file.path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise DatasetError(
            f"{file.path}: is neither here nor where it is to be published; run `filtercrawl sync` to write it again"
        ) from error
    if digest != file.sha256:
        raise DatasetError(f"{file.path}: is damaged; delete it and run `filtercrawl sync`")


def _batches(files: Iterable[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) >= _BATCH_FILES or size + file.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch
