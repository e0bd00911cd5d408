"""Reader of Flax checkpoints (`.msgpack`): nested maps whose leaves are arrays, as `flax.serialization` writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import CheckpointContent, Files, Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.msgpack import Bytes, MessagePackReader
from filtercrawl_plugins.readers.arrays.axis_order import Framework, arrange_arrays
from filtercrawl_plugins.readers.flax_chunks import join_chunks
from filtercrawl_plugins.readers.training_state import stated_progress, states_progress, stored_integer

# Bytes that are searched for the first array.
HEAD_BYTES: Final = 32_768
MAX_RANK: Final = 32
# Steps of an array, besides those of its parts.
ARRAY_COST: Final = 100
# Types of the extension: an array and a NumPy scalar, both `[shape, dtype, bytes]`.
ARRAY_KINDS: Final = (1, 3)
# A map with a text as its first key, and an extension of type 1 with an array of three.
_MAP: Final = re.compile(rb"(?:[\x81-\x8f]|\xde..|\xdf....)[\xa0-\xbf\xd9]", re.DOTALL)
_ARRAY: Final = re.compile(rb"(?:[\xd4-\xd8]|\xc7.|\xc8..|\xc9....)\x01\x93[\x90-\x9f]", re.DOTALL)


class FlaxReader:
    """Reads maps of arrays; the name of an array is its path, joined by slashes as in Flax."""

    name = "flax-msgpack"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is a map of MessagePack with an array of Flax near its beginning."""
        head = file.read(0, min(HEAD_BYTES, file.size))
        return _MAP.match(head) is not None and _ARRAY.search(head) is not None

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the arrays in the order of the file, kernels arranged as in torch; raises CheckpointError."""
        yield from self.read_content(files).tensors

    def read_content(self, files: Files) -> CheckpointContent:
        """Return the arrays, and the training state beside them; raises CheckpointError."""
        arrays: list[StoredTensor] = []
        numbers: list[tuple[tuple[str, ...], object]] = []
        for path, value in join_chunks(files.main, read_leaves(files.main)):
            if isinstance(value, StoredTensor):
                arrays.append(value)
            if states_progress(path):
                numbers.append((path, stored_integer(value) if isinstance(value, StoredTensor) else value))
        return CheckpointContent(
            tensors=tuple(arrange_arrays(arrays, Framework.JAX)), training=stated_progress(numbers)
        )


def read_leaves(file: RandomAccessFile) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the values of a file with their paths, arrays as records with their axes in the order of the file.

    Raises:
        CheckpointError: The file is damaged.
    """
    budget = Budget(file)
    reader = MessagePackReader(file, budget)
    for path, value in reader.leaves():
        if isinstance(value, Bytes) and value.kind in ARRAY_KINDS:
            yield path, read_array(file, path, value, budget)
        else:
            yield path, value
    if reader.cursor.remaining:
        raise FormatError(f"{file.name}: {reader.cursor.remaining} bytes follow the MessagePack object")


def read_array(file: RandomAccessFile, path: tuple[str, ...], content: Bytes, budget: Budget) -> StoredTensor:
    """Read shape and dtype of an array and return its record; raises CheckpointError."""
    budget.spend(ARRAY_COST)
    budget.add_tensor(sum(map(len, path)) + len(path))  # before a name is made of it
    name = "/".join(path)
    leaves = list(MessagePackReader(file, budget, content.start, content.start + content.length).leaves())
    shape = tuple(size for at, size in leaves if len(at) == 2 and at[0] == "0" and type(size) is int and size >= 0)
    fields = {at[0]: value for at, value in leaves if len(at) == 1}
    dtype, data = fields.get("1"), fields.get("2")
    if not isinstance(dtype, str) or not isinstance(data, Bytes) or len(leaves) != len(shape) + 2:
        raise FormatError(f"{file.name}: {name!r} is no array of Flax")
    if len(shape) > MAX_RANK or max(shape, default=0) >= 1 << 62:
        raise FormatError(f"{file.name}: {name!r} has an invalid shape")
    location = None
    if dtype in ITEMSIZE:
        if math.prod(shape) * ITEMSIZE[dtype] != data.length:
            raise FormatError(f"{file.name}: {name!r} has {data.length} bytes, which do not fit {dtype} {list(shape)}")
        location = TensorLocation(file=file, offset=data.start, dtype=dtype, shape=shape)
    return StoredTensor(
        name=name,
        key=".".join(path),
        shape=shape,
        dtype=dtype[:40],
        location=location,
        reason=None if location else "unreadable",
    )


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield FlaxReader()
