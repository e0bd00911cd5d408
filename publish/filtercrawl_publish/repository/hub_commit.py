"""What one commit changes, in the words of the Hub's own client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.repository.base import CommitOperations

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
    from huggingface_hub.lfs import UploadInfo

    CommitOperation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete


def to_hub_operations(operations: CommitOperations) -> list[CommitOperation]:
    """Return the client's operations, new ones: a commit changes them, also one that fails."""
    from huggingface_hub import CommitOperationCopy, CommitOperationDelete

    return [
        *(addition(path, file) for path, file in operations.add.items()),
        *map(preuploaded_operation, operations.uploaded.values()),
        *(
            CommitOperationCopy(src_path_in_repo=source, path_in_repo=path, src_revision=revision)
            for path, (source, revision) in operations.copy.items()
        ),
        *(CommitOperationDelete(path, is_folder=False) for path in operations.delete),
    ]


def addition(path: str, file: Path) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=str(file))


def preuploaded_operation(file: File) -> CommitOperationAdd:
    """Return what the client makes of an operation once its content was sent."""
    from huggingface_hub import CommitOperationAdd

    operation = CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=b"")
    operation.upload_info = info(file)
    operation._upload_mode = "lfs"  # noqa: SLF001 - the client has no public word for it
    operation._is_uploaded = True  # noqa: SLF001
    return operation


def info(file: File) -> UploadInfo:
    from huggingface_hub.lfs import UploadInfo

    return UploadInfo(size=file.size, sample=b"", sha256=bytes.fromhex(file.sha256))
