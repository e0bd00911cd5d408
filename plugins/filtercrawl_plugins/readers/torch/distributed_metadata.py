"""The pickle `.metadata` of `torch.distributed.checkpoint`: the chunks of every tensor, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import Global, PickledDict, Stub, to_name
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.readers.torch.distributed_chunks import Chunk, Sizes

MAX_METADATA_BYTES: Final = 256 << 20
MAX_RANK: Final = 64
# Chunks of one tensor, at most: every pair is compared to find overlaps.
MAX_CHUNKS: Final = 1024


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

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that lead to it."""
        return self.path or tuple(self.name.split("."))


@dataclass(frozen=True, kw_only=True)
class FolderMetadata:
    """What the metadata list, in their order.

    Attributes:
        tensors: The tensors.
        objects: Place of each other object, a chunk without sizes, with the keys that lead to it.
    """

    tensors: tuple[TensorRecord, ...]
    objects: tuple[tuple[tuple[str, ...], Chunk], ...]


def read_metadata(file: RandomAccessFile) -> FolderMetadata:
    """Return the tensors and other objects that the metadata list.

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
    tensors, objects = [], []
    for name, entry in entries.items():
        path = _names(named.get(name))
        if not isinstance(entry, Stub):
            continue
        if entry.path.endswith(".TensorStorageMetadata"):
            tensors.append(_record(name, dict(entry.attributes()), places, path, file.name))
        elif (place := _place(places.get((name, ())), offsets=(), sizes=())) is not None:
            objects.append((path or tuple(name.split(".")), place))
    return FolderMetadata(tensors=tuple(tensors), objects=tuple(objects))


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
    return _place(places.get((name, offsets)) or (None if any(offsets) else places.get((name, ()))), offsets, sizes)


def _place(stub: Stub | None, offsets: Sizes, sizes: Sizes) -> Chunk | None:
    """Return where the storage data say that an archive is; None if they do not, or the bytes are transformed."""
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
