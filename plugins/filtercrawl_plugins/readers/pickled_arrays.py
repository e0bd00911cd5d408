"""Reader of plain pickles of arrays: detectron2 and Caffe2 (`.pkl`), Paddle (`.pdparams`), and `.npy` files of objects.

The pickle interpreter of `formats.pickle` imports and calls nothing; the numbers of arrays stay in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.reader import CheckpointContent, Files, Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.objects import NumpyArray, PickledDict, PickledStorage, to_name
from filtercrawl_plugins.formats.pickle.unpickle import unpickle
from filtercrawl_plugins.readers.arrays.axis_order import Framework, arrange_arrays
from filtercrawl_plugins.readers.torch.readers import locate_tensors
from filtercrawl_plugins.readers.torch.storage import LoadedObject, StorageRegion
from filtercrawl_plugins.readers.training_state import training_state

# Bytes that are searched for the first array.
HEAD_BYTES: Final = 32_768
# Containers that arrays are nested in: {"model": {name: (name, array)}}.
MAX_DEPTH: Final = 8
# Paddle's table from names in the code to names in the program.
PADDLE_KEY: Final = "StructuredToParameterName@@"
# The header of a NumPy array of Python objects; their pickle follows.
_NPY_OBJECT: Final = re.compile(rb"\x93NUMPY[\1\2\3]\0(?:..|....)\{'descr': '\|O',[^}\n]{0,200}\} *\n", re.DOTALL)
# Protocols 2 to 5, an optional frame, and the first opcode of a container or an object.
_BINARY: Final = re.compile(rb"\x80[\2-\5](?:\x95.{8})?[}\](c\x8c]", re.DOTALL)
# Protocols 0 and 1: a dictionary, a list, or an object.
_TEXT: Final = re.compile(rb"\(dp?\d*\n|\(lp?\d*\n|}q|\]q|c(?:collections|copy_reg|numpy\.core\.multiarray)\n")
# A pickle of anything: protocols 2 to 5, or those before where the name of a class or a function comes first.
_ANY: Final = re.compile(rb"\x80[\2-\5]|c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n")
# The metadata of a distributed checkpoint, which the readers of torch read.
_DISTRIBUTED: Final = b"torch.distributed.checkpoint"
_LIBRARIES: Final = (b"numpy", b"torch")


class PickledArraysReader:
    """Reads pickles of arrays that no framework's own format wraps."""

    name = "pickle"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file starts like a pickle of containers and soon names an array of NumPy or torch.

        A pickle whose beginning names code that loading it would run is accepted, too: nobody else would say so.
        """
        head = file.read(0, min(HEAD_BYTES, file.size))
        start = pickle_start(head)
        if _DISTRIBUTED in head[:256]:
            return False
        is_container = _BINARY.match(head, start) or _TEXT.match(head, start)
        if is_container and any(library in head[start:] for library in _LIBRARIES):
            return True
        return bool(is_container or _ANY.match(head, start)) and names_code(head, start)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the arrays in the order of the pickle, kernels arranged as in torch; raises CheckpointError."""
        yield from self.read_content(files).tensors

    def read_content(self, files: Files) -> CheckpointContent:
        """Return the arrays, the training state beside them, and the code that is named; raises CheckpointError."""
        file = files.main
        start = pickle_start(file.read(0, min(HEAD_BYTES, file.size)))
        budget = Budget(file)
        value = unpickle(Cursor(file, start), budget).value
        top = unwrap_pairs(value, MAX_DEPTH, budget)
        found = locate_tensors(file, LoadedObject(top, _no_storage), budget)
        if not found and not budget.code:
            raise FormatError(f"{file.name}: a pickle that holds no arrays")
        arranged = arrange_arrays(found, Framework.TORCH if is_paddle(top) else None)
        return CheckpointContent(tensors=tuple(arranged), training=training_state(top), code=tuple(budget.code))


def pickle_start(head: bytes) -> int:
    """Return the offset of the pickle: after the header of a `.npy` file, else 0."""
    header = _NPY_OBJECT.match(head)
    return header.end() if header else 0


def names_code(head: bytes, start: int) -> bool:
    """Return whether the pickle that starts at an offset of `head` names code in it which loading would run."""
    file = MemoryFile(head)
    budget = Budget(file)
    with suppress(CheckpointError):  # it may go on behind these bytes
        unpickle(Cursor(file, start), budget)
    return bool(budget.code)


def is_paddle(value: object) -> bool:
    """Return whether a pickle is a state dict of Paddle."""
    return isinstance(value, PickledDict) and any(to_name(key) == PADDLE_KEY for key, _ in value.pairs)


def unwrap_pairs(value: object, depth: int, budget: Budget) -> object:
    """Replace pairs of a name and an array, as Paddle and TensorFlow pickle variables, by the array.

    Args:
        value: A pickled object.
        depth: Levels of dictionaries to look into.
        budget: Pays for each value, as often as it is looked at.
    """
    if isinstance(value, list | PickledDict):
        budget.spend(len(value.pairs if isinstance(value, PickledDict) else value))
    if isinstance(value, NumpyArray) and value.shape == () and isinstance(value.data, list) and len(value.data) == 1:
        return unwrap_pairs(value.data[0], depth, budget)  # an array of one object, from a `.npy` file
    if isinstance(value, list) and value:
        pairs = [_named_array(item) for item in value]
        return value if None in pairs else PickledDict([pair for pair in pairs if pair is not None])
    if isinstance(value, PickledDict) and depth:
        return replace(value, pairs=[(key, _unwrap_item(item, depth, budget)) for key, item in value.pairs])
    return value


def _unwrap_item(item: object, depth: int, budget: Budget) -> object:
    pair = _named_array(item)
    return unwrap_pairs(item, depth - 1, budget) if pair is None else pair[1]


def _named_array(value: object) -> tuple[str | bytes, NumpyArray] | None:
    match value:
        case (str() | bytes() as name, NumpyArray() as array):
            return name, array
    return None


def _no_storage(storage: PickledStorage) -> StorageRegion:
    raise FormatError(f"the pickle refers to the storage {storage.key[:80]!r}, which it does not contain")


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield PickledArraysReader()
