"""Reader of `torch.distributed.checkpoint`: a folder with a pickle `.metadata` and shards `__RANK_N.distcp`.

The pickle lists the chunks of every tensor and where they lie; a shard is a row of archives of `torch.save`, one for
each chunk (`torch.distributed.checkpoint.metadata`, `.filesystem`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.range_file import FileSlice, RandomAccessFile
from filtercrawl.api.reader import CheckpointContent, CompanionCheck, Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.zip.directory import leading_bytes
from filtercrawl_plugins.readers.torch.distributed_chunks import ChunkedTensorFile, TensorRecord, load_archive
from filtercrawl_plugins.readers.torch.distributed_metadata import FolderMetadata, read_metadata
from filtercrawl_plugins.readers.torch.zip_file import HEAD_BYTES, PICKLE_NAME, first_entry
from filtercrawl_plugins.readers.training_state import stated_progress, states_progress, stored_integer

PACKAGE: Final = b"torch.distributed.checkpoint.metadata"
# Bytes of the archive of a number, at most.
MAX_NUMBER_BYTES: Final = 65_536
# Bytes that contain the name of the first class of the pickle.
_HEAD_BYTES: Final = 256
HOW_TO_READ: Final = (
    "a shard of torch.distributed.checkpoint, which only its .metadata can read; keep both in one folder, or run "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE"
)


class DistributedCheckpoint:
    """Reads the `.metadata` of a folder and, through it, the shards."""

    name = "torch-distributed"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a pickle of the metadata of `torch.distributed.checkpoint`."""
        head = file.read(0, min(_HEAD_BYTES, file.size))
        return head.startswith(b"\x80") and PACKAGE in head

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        """Return the shards, sorted; raises CheckpointError."""
        records = read_metadata(file, Budget(file)).tensors
        return tuple(sorted({chunk.path for record in records for chunk in record.chunks}))

    def companion_check(self, file: RandomAccessFile) -> CompanionCheck:
        """Return whether a companion is a shard of one chunk, an archive of torch like any other."""
        chunks: defaultdict[str, list[tuple[int, tuple[int, ...], str]]] = defaultdict(list)
        for record in read_metadata(file, Budget(file)).tensors:
            for chunk in record.chunks:
                chunks[str(PurePosixPath(chunk.path))].append((chunk.start, chunk.sizes, record.dtype))

        def is_part(path: str, tensors: Sequence[StoredTensor]) -> bool:
            return chunks[str(PurePosixPath(path))] == [(0, tensor.shape, tensor.dtype) for tensor in tensors]

        return is_part

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the state dict; no shard is read before its numbers are.

        Raises:
            CheckpointError: The metadata are damaged, or a shard is missing or too short.
        """
        yield from self.read_content(files).tensors

    def read_content(self, files: Files) -> CheckpointContent:
        """Return every tensor of the state dict, and the training state that is saved beside them.

        Raises:
            CheckpointError: The metadata are damaged, or a shard is missing or too short.
        """
        budget = Budget(files.main)
        metadata = read_metadata(files.main, budget)
        tensors = tuple(locate(record, files, budget) for record in metadata.tensors)
        numbers = (*_stated_by_tensors(metadata, tensors), *_stated_by_objects(metadata, files, budget))
        training = stated_progress(numbers)
        return CheckpointContent(tensors=tensors, training=training, code=tuple(budget.code))


class DistributedShard:
    """Claims a shard that lies alone, to say what it is."""

    name = "torch-distributed-shard"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a row of several archives of torch."""
        head = file.read(0, min(HEAD_BYTES, file.size))
        if not head.startswith(b"PK\3\4") or not first_entry(head).endswith("/" + PICKLE_NAME):
            return False
        return leading_bytes(file) > 0

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Raise FormatError: names and shapes are in another file."""
        yield from ()
        raise FormatError(f"{files.main.name}: {HOW_TO_READ}")


def _stated_by_tensors(
    metadata: FolderMetadata, tensors: Iterable[StoredTensor]
) -> Iterator[tuple[tuple[str, ...], int | None]]:
    for record, tensor in zip(metadata.tensors, tensors, strict=True):
        if states_progress(record.keys):
            yield record.keys, stored_integer(tensor)


def _stated_by_objects(
    metadata: FolderMetadata, files: Files, budget: Budget
) -> Iterator[tuple[tuple[str, ...], object]]:
    for keys, place in metadata.objects:
        if states_progress(keys) and place.length <= MAX_NUMBER_BYTES:
            # Weights do not depend on it: a damaged number states nothing.
            with suppress(CheckpointError):
                archive = FileSlice(files.open(place.path), place.start, place.length)
                yield keys, load_archive(archive, budget).value


def locate(record: TensorRecord, files: Files, budget: Budget) -> StoredTensor:
    """Return the record of a tensor, its numbers behind a file that joins its chunks when they are read."""
    budget.add_tensor(len(record.name))
    location = None
    if record.chunks and record.dtype in ITEMSIZE:
        file = ChunkedTensorFile(files, record, budget)
        location = TensorLocation(file=file, offset=0, dtype=record.dtype, shape=record.shape)
    return StoredTensor(
        name=record.name,
        key=record.path[-1] if record.path else record.name,
        root=record.path[:-1],
        shape=record.shape,
        dtype=record.dtype,
        location=location,
        reason=None if location else "unreadable",
    )
