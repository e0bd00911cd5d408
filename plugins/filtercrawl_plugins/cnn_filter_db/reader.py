"""The reader of one model of CNN Filter DB, as the source `cnn-filter-db` provides it."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.convolution import Convolution, Depth
from filtercrawl.api.errors import CheckpointError, FormatError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.cnn_filter_db.hdf5 import Hdf5
from filtercrawl_plugins.cnn_filter_db.kernels import DTYPES, FILTERS_PATH
from filtercrawl_plugins.cnn_filter_db.model_file import LENGTH_BYTES, MAGIC
from filtercrawl_plugins.cnn_filter_db.pandas_table import META_PATH
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.hdf5 import SIGNATURE
from filtercrawl_plugins.formats.json_text import parse_json

# Name, number of kernels, and both depths; the second means nothing where the first is None.
HeaderLayer = tuple[str, int, int | None, float]


class CnnFilterDbReader:
    """Reads the layers of one model; a whole published file is refused with a hint at the source.

    A layer of n kernels has the shape [n, 1, 3, 3] and unknown groups. conv_depth is that of the paper: the rank of the
    layer's depth among all depths with a 2-D convolution.
    """

    name = "cnn-filter-db"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file is one model, or a whole published file, which `tensors` then refuses."""
        head = file.read(0, min(len(MAGIC), file.size))
        return head == MAGIC or (head.startswith(SIGNATURE) and is_published_file(file))

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the layers in order; raises CheckpointError."""
        file = files.main
        header_start = len(MAGIC) + LENGTH_BYTES
        if file.size < header_start or file.read(0, len(MAGIC)) != MAGIC:
            raise UnsupportedError(f"{file.name}: contains many models; use the selector cnn-filter-db:{file.name}")
        length = int.from_bytes(file.read(len(MAGIC), LENGTH_BYTES), "little")
        if length > file.size - header_start:
            raise FormatError(f"{file.name}: its header claims {length} bytes; fetch it again")
        dtype, layers = parse_header(file, file.read(header_start, length))
        offset = header_start + length
        for name, n_kernels, depth, depth_norm in layers:
            shape = (n_kernels, 1, 3, 3)
            yield StoredTensor(
                name=name,
                key=name,
                layer=name,
                shape=shape,
                dtype=dtype,
                location=TensorLocation(file=file, offset=offset, dtype=dtype, shape=shape),
                convolution=Convolution(op="conv2d", groups=None, source="cnn_filter_db"),
                depth=None if depth is None else make_depth(depth, depth_norm),
            )
            offset += n_kernels * 9 * ITEMSIZE[dtype]


def parse_header(file: RandomAccessFile, text: bytes) -> tuple[str, list[HeaderLayer]]:
    """Return the dtype and the layers of a header, which anybody may have written; raises CheckpointError."""
    header = parse_json(text, f"{file.name}: its header")
    dtype, layers = (header.get("dtype"), header.get("layers")) if isinstance(header, dict) else (None, None)
    if dtype not in tuple(DTYPES.values()) or not isinstance(layers, list) or not all(map(_is_layer, layers)):
        raise FormatError(f"{file.name}: its header does not say which layers there are; fetch it again")
    budget = Budget(file)
    for name, *_ in layers:
        budget.add_tensor(len(name))
    return str(dtype), layers


def _is_layer(row: object) -> bool:
    """Return whether a row of a header has a name, a number of kernels, and a depth or none."""
    if not isinstance(row, list) or len(row) != 4:
        return False
    name, n_kernels, depth, depth_norm = row
    return (
        isinstance(name, str)
        and _is_count(n_kernels)
        and (depth is None or (_is_count(depth) and isinstance(depth_norm, float | int)))
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def make_depth(depth: int, depth_norm: float) -> Depth:
    """Return the depth of a layer. The table has no transposed convolutions, so the shallowest may not be the first."""
    return Depth(conv_depth=depth, conv_depth_norm=depth_norm, n_conv_ancestors=None, is_first=None, is_last=None)


def is_published_file(file: RandomAccessFile) -> bool:
    """Return whether an HDF5 file has the table and the kernels of a published file."""
    try:
        hdf5 = Hdf5(file)
        try:
            return hdf5.node(META_PATH) is not None and hdf5.node(FILTERS_PATH) is not None
        finally:
            hdf5.close()
    except CheckpointError:
        return False
