"""The pickle `.metadata` of `torch.distributed.checkpoint`: the chunks of every tensor, and where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import Global, PickledDict, Stub, to_name
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.readers.torch.distributed_chunks import Chunk, Sizes, TensorRecord

MAX_METADATA_BYTES: Final = 256 << 20
MAX_RANK: Final = 64
# Chunks of one tensor, at most: every read of a part of it looks at all of them.
MAX_CHUNKS: Final = 4096
# Steps of reading the attributes of a chunk or a place.
CHUNK_COST: Final = 8


@dataclass(frozen=True, kw_only=True)
class FolderMetadata:
    """What the metadata list, in their order.

    Attributes:
        tensors: The tensors.
        objects: Place of each other object, a chunk without sizes, with the keys that lead to it.
    """

    tensors: tuple[TensorRecord, ...]
    objects: tuple[tuple[tuple[str, ...], Chunk], ...]


def read_metadata(file: RandomAccessFile, budget: Budget) -> FolderMetadata:
    """Return the tensors and other objects that the metadata list.

    Raises:
        CheckpointError: The pickle is damaged or describes no state dict, or asks for more than the budget.
    """
    if file.size > MAX_METADATA_BYTES:
        raise UnsafeFileError(
            f"{file.name}: the metadata have {file.size} bytes, at most {MAX_METADATA_BYTES} are supported"
        )
    value = unpickle(Cursor(file), budget).value
    fields = value.attributes() if isinstance(value, Stub) else {}
    entries, stored, paths = (fields.get(name) for name in ("state_dict_metadata", "storage_data", "planner_data"))
    if not isinstance(entries, PickledDict) or not isinstance(stored, PickledDict):
        raise FormatError(f"{file.name}: the metadata list no tensors and where they are; save the checkpoint again")
    budget.spend(CHUNK_COST * len(stored.pairs))
    places = dict(_places(stored))
    named = paths.named() if isinstance(paths, PickledDict) else {}
    described = _Chunks(file=file.name, places=places, budget=budget)
    tensors, objects = [], []
    for name, entry in entries.items():
        path = _names(named.get(name))
        if not isinstance(entry, Stub):
            continue
        if entry.path.endswith(".TensorStorageMetadata"):
            tensors.append(described.record(name, entry.attributes(), path))
        elif (place := _place(places.get((name, ())), offsets=(), sizes=())) is not None:
            objects.append((path or tuple(name.split(".")), place))
    return FolderMetadata(tensors=tuple(tensors), objects=tuple(objects))


@dataclass(frozen=True, kw_only=True)
class _Chunks:
    """The chunks of one file's tensors.

    Attributes:
        file: Name of the file, for messages.
        places: What the storage data say of each chunk, by name and offset.
        budget: The budget of the checkpoint.
    """

    file: str
    places: Mapping[tuple[str, Sizes], Stub]
    budget: Budget

    def record(self, name: str, fields: Mapping[str, object], path: tuple[str, ...]) -> TensorRecord:
        """Return a tensor with its chunks."""
        shape, chunks = _sizes(fields.get("size")), fields.get("chunks")
        if shape is None or not isinstance(chunks, list) or len(chunks) > MAX_CHUNKS:
            raise FormatError(f"{self.file}: the metadata of {name[:80]!r} have no valid size or chunks")
        self.budget.spend(CHUNK_COST * (1 + len(chunks)))
        found = [self._chunk(name, chunk) for chunk in chunks]
        complete = [chunk for chunk in found if chunk is not None]
        if len(complete) != len(found) or not self._cover(shape, complete):
            complete = []
        return TensorRecord(
            name=name, path=path, dtype=_dtype(fields.get("properties")), shape=shape, chunks=tuple(complete)
        )

    def _chunk(self, name: str, value: object) -> Chunk | None:
        """Return a chunk with its place; None if the place is unknown or the bytes are transformed."""
        fields = value.attributes() if isinstance(value, Stub) else {}
        offsets, sizes = _sizes(fields.get("offsets")), _sizes(fields.get("sizes"))
        if offsets is None or sizes is None or len(offsets) != len(sizes):
            return None
        place = self.places.get((name, offsets)) or (None if any(offsets) else self.places.get((name, ())))
        return _place(place, offsets, sizes)

    def _cover(self, shape: Sizes, chunks: list[Chunk]) -> bool:
        """Return whether chunks cover a tensor exactly: all inside, none overlapping, as many elements as it has."""
        for chunk in chunks:
            ends = [offset + size for offset, size in zip(chunk.offsets, chunk.sizes, strict=True)]
            if len(ends) != len(shape) or any(end > size for end, size in zip(ends, shape, strict=True)):
                return False
        if sum(math.prod(chunk.sizes) for chunk in chunks) != math.prod(shape):
            return False
        # Along the first axis, a chunk is compared with those that have begun and not ended before it begins.
        begun: list[Chunk] = []
        for chunk in sorted(chunks, key=lambda chunk: chunk.offsets):
            first = chunk.offsets[:1]
            begun = [one for one in begun if not first or one.offsets[0] + one.sizes[0] > first[0]]
            self.budget.spend(len(begun))
            if any(chunk.overlaps(one) for one in begun):
                return False
            begun.append(chunk)
        return True


def _place(stub: Stub | None, offsets: Sizes, sizes: Sizes) -> Chunk | None:
    """Return where the storage data say that an archive is; None if they do not, or the bytes are transformed."""
    place = stub.attributes() if stub is not None else {}
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
            fields = key.attributes()
            name, offset = to_name(fields.get("fqn")), fields.get("offset")
            sizes = () if offset is None else _sizes(offset)
            if name is not None and sizes is not None:
                yield (name, sizes), place


def _dtype(properties: object) -> str:
    """Return the dtype among the properties of a tensor, which are pickled as a tuple or as attributes."""
    if isinstance(properties, Stub):
        states = properties.states or []
        first = states[0][0] if states and isinstance(states[0], tuple) and states[0] else None
        dtype = first if first is not None else properties.attributes().get("dtype")
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
