"""Reader of `torch.distributed.checkpoint`: a folder with a pickle `.metadata` and shards `__RANK_N.distcp`.

The pickle lists the chunks of every tensor and where they lie; a shard is a row of archives of `torch.save`, one for
each chunk (`torch.distributed.checkpoint.metadata`, `.filesystem`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.source import Files
from filtercrawl.api.tensor import ITEMSIZE, StoredTensor, TensorLocation
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import Global, PickledDict, Stub, to_name
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.formats.zip.archive import leading_bytes
from filtercrawl_plugins.readers.torch.distributed_chunks import Chunk, ChunkedTensorFile, Sizes
from filtercrawl_plugins.readers.torch.zip_file import HEAD_BYTES, PICKLE_NAME, first_entry

PACKAGE: Final = b"torch.distributed.checkpoint.metadata"
MAX_METADATA_BYTES: Final = 256 << 20
MAX_RANK: Final = 64
# Chunks of one tensor, at most: every pair is compared to find overlaps.
MAX_CHUNKS: Final = 1024
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
        return tuple(sorted({chunk.path for record in read_metadata(file) for chunk in record.chunks}))

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield every tensor of the state dict; no shard is read before its numbers are.

        Raises:
            CheckpointError: The metadata are damaged, or a shard is missing or too short.
        """
        for record in read_metadata(files.main):
            yield locate(record, files)


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


@dataclass(frozen=True, kw_only=True)
class TensorRecord:
    """A tensor as the metadata describe it.

    Attributes:
        name: Full name in the state dict.
        path: Keys of the containers above it, and its own; () if they are unknown.
        dtype: Name of the torch dtype.
        shape: Sizes.
        chunks: The parts that are stored; () if they do not cover the tensor exactly.
    """

    name: str
    path: tuple[str, ...]
    dtype: str
    shape: Sizes
    chunks: tuple[Chunk, ...]


def locate(record: TensorRecord, files: Files) -> StoredTensor:
    """Return the record of a tensor, its numbers behind a file that joins its chunks when they are read."""
    location = None
    if record.chunks and record.dtype in ITEMSIZE:
        file = ChunkedTensorFile(files, record.shape, record.dtype, record.chunks)
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


def read_metadata(file: RandomAccessFile) -> list[TensorRecord]:
    """Return the tensors that the metadata list, in their order.

    Raises:
        CheckpointError: The pickle is damaged or describes no state dict.
    """
    if file.size > MAX_METADATA_BYTES:
        raise UnsafeFileError(
            f"{file.name}: the metadata have {file.size} bytes, at most {MAX_METADATA_BYTES} are supported"
        )
    value = unpickle(Cursor(file)).value
    fields = dict(value.attributes()) if isinstance(value, Stub) else {}
    entries, stored, paths = (fields.get(name) for name in ("state_dict_metadata", "storage_data", "planner_data"))
    if not isinstance(entries, PickledDict) or not isinstance(stored, PickledDict):
        raise FormatError(f"{file.name}: the metadata list no tensors and where they are; save the checkpoint again")
    places = dict(_places(stored))
    named = dict(paths.items()) if isinstance(paths, PickledDict) else {}
    records = []
    for name, entry in entries.items():
        if isinstance(entry, Stub) and entry.path.endswith(".TensorStorageMetadata"):
            records.append(_record(name, dict(entry.attributes()), places, _names(named.get(name)), file.name))
    return records


def _record(
    name: str, fields: dict[str, object], places: dict[tuple[str, Sizes], Stub], path: tuple[str, ...], file: str
) -> TensorRecord:
    shape, chunks = _sizes(fields.get("size")), fields.get("chunks")
    if shape is None or not isinstance(chunks, list) or len(chunks) > MAX_CHUNKS:
        raise FormatError(f"{file}: the metadata of {name!r} have no valid size or chunks")
    found = [_chunk(name, chunk, places) for chunk in chunks]
    complete = [chunk for chunk in found if chunk is not None]
    if len(complete) != len(found) or not _covers(shape, complete):
        complete = []
    return TensorRecord(
        name=name, path=path, dtype=_dtype(fields.get("properties")), shape=shape, chunks=tuple(complete)
    )


def _chunk(name: str, value: object, places: dict[tuple[str, Sizes], Stub]) -> Chunk | None:
    """Return a chunk with its place; None if the place is unknown or the bytes are transformed."""
    fields = dict(value.attributes()) if isinstance(value, Stub) else {}
    offsets, sizes = _sizes(fields.get("offsets")), _sizes(fields.get("sizes"))
    if offsets is None or sizes is None or len(offsets) != len(sizes):
        return None
    stub = places.get((name, offsets)) or (None if any(offsets) else places.get((name, ())))
    place = dict(stub.attributes()) if stub is not None else {}
    path, start, length = (place.get(key) for key in ("relative_path", "offset", "length"))
    if not isinstance(path, str) or not isinstance(start, int) or not isinstance(length, int):
        return None
    if start < 0 or length < 0 or place.get("transform_descriptors"):
        return None
    return Chunk(offsets=offsets, sizes=sizes, path=path, start=start, length=length)


def _places(stored: PickledDict) -> Iterator[tuple[tuple[str, Sizes], Stub]]:
    """Yield the place of each chunk by name and offset."""
    for key, place in stored.pairs:
        if isinstance(key, Stub) and isinstance(place, Stub):
            fields = dict(key.attributes())
            name, offset = to_name(fields.get("fqn")), fields.get("offset")
            sizes = () if offset is None else _sizes(offset)
            if name is not None and sizes is not None:
                yield (name, sizes), place


def _covers(shape: Sizes, chunks: list[Chunk]) -> bool:
    """Return whether chunks cover a tensor exactly: all inside, none overlapping, as many elements as it has."""
    for chunk in chunks:
        ends = [offset + size for offset, size in zip(chunk.offsets, chunk.sizes, strict=True)]
        if len(ends) != len(shape) or any(end > size for end, size in zip(ends, shape, strict=True)):
            return False
    if sum(math.prod(chunk.sizes) for chunk in chunks) != math.prod(shape):
        return False
    return not any(one.overlaps(other) for i, one in enumerate(chunks) for other in chunks[:i])


def _dtype(properties: object) -> str:
    """Return the dtype among the properties of a tensor, which are pickled as a tuple or as attributes."""
    if isinstance(properties, Stub):
        states = properties.states or []
        first = states[0][0] if states and isinstance(states[0], tuple) and states[0] else None
        dtype = first if first is not None else dict(properties.attributes()).get("dtype")
        if isinstance(dtype, Global):
            return dtype.name[:80]
    return "unknown"


def _sizes(value: object) -> Sizes | None:
    if not isinstance(value, tuple | list) or len(value) > MAX_RANK:
        return None
    if not all(type(size) is int and 0 <= size < 1 << 62 for size in value):
        return None
    return tuple(value)


def _names(value: object) -> tuple[str, ...]:
    """Return the path of a tensor in the state dict, () if it is unknown."""
    if not isinstance(value, tuple | list) or len(value) > MAX_RANK:
        return ()
    names = tuple(to_name(part) for part in value)
    return () if None in names else tuple(name for name in names if name is not None)
