"""Commit operations for the Hub's client, and what it has stored before a commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.repository.base import CommitOperations, RepositoryFile

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
    from huggingface_hub.lfs import UploadInfo

    CommitOperation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete


def to_hub_operations(operations: CommitOperations) -> list[CommitOperation]:
    """Return new operations of the client; it modifies them, also when a commit fails, so they cannot be reused."""
    from huggingface_hub import CommitOperationCopy, CommitOperationDelete

    return [
        *(add_operation(path, file) for path, file in operations.add.items()),
        *map(preuploaded_operation, operations.uploaded.values()),
        *(
            CommitOperationCopy(src_path_in_repo=source, path_in_repo=path, src_revision=revision)
            for path, (source, revision) in operations.copy.items()
        ),
        *(CommitOperationDelete(path, is_folder=False) for path in operations.delete),
    ]


def add_operation(path: str, file: Path) -> CommitOperationAdd:
    """Add a local file at `path`."""
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file))


def preuploaded_operation(file: File) -> CommitOperationAdd:
    """Add a file whose content was uploaded before: the state in which the client leaves such an operation."""
    from huggingface_hub import CommitOperationAdd

    operation = CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=b"")
    operation.upload_info = upload_info(file)
    operation._upload_mode = "lfs"  # noqa: SLF001 - the client has no public name for it
    operation._is_uploaded = True  # noqa: SLF001
    return operation


def upload_info(file: File) -> UploadInfo:
    """Describe a large file by size and digest, for the LFS batch endpoint."""
    from huggingface_hub.lfs import UploadInfo

    return UploadInfo(size=file.size, sample=b"", sha256=bytes.fromhex(file.sha256))


def contains(files: Mapping[str, RepositoryFile], operations: CommitOperations) -> bool:
    """Return whether the files of a commit are the result of the operations."""
    if any(path in files for path in operations.delete):
        return False
    if not {*operations.add, *operations.uploaded, *operations.copy} <= files.keys():
        return False
    if any(files[path].sha256 != file.sha256 for path, file in operations.uploaded.items()):
        return False
    return all(files[path].is_file(file) for path, file in operations.add.items())


def stored_digests(api: HfApi, repo_id: str, repo_type: str, files: Collection[File]) -> set[str]:
    """Return the SHA-256 of those files that the Hub requests no upload of."""
    from huggingface_hub.lfs import post_lfs_batch_info

    objects, _, _ = post_lfs_batch_info(
        [upload_info(file) for file in files],
        token=None,
        repo_type=repo_type,
        repo_id=repo_id,
        endpoint=api.endpoint,
    )
    return {str(item["oid"]) for item in objects if not item.get("actions")}
