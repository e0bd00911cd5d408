"""The reader of one model of CNN Filter DB, as `cnn-filter-db` hands it out; whole files are refused with a hint."""

from __future__ import annotations

import json
from collections.abc import Iterator

from filtercrawl.api.errors import CheckpointError, FormatError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.source import Files
from filtercrawl.api.tensor import ITEMSIZE, Convolution, Depth, StoredTensor, TensorLocation
from filtercrawl_plugins.cnn_filter_db.hdf5 import SIGNATURE, Hdf5
from filtercrawl_plugins.cnn_filter_db.kernels import FILTERS_PATH
from filtercrawl_plugins.cnn_filter_db.model_file import LENGTH_BYTES, MAGIC
from filtercrawl_plugins.cnn_filter_db.pandas_table import META_PATH


class CnnFilterDbReader:
    """Kernels are listed one by one: a layer of n has the shape [n, 1, 3, 3], and its groups are not known.

    conv_depth is the paper's: the rank of a layer's depth among the depths that hold a 2-D convolution.
    """

    name = "cnn-filter-db"

    def can_read(self, file: RandomAccessFile) -> bool:
        start = file.read(0, min(len(MAGIC), file.size))
        return start == MAGIC or (start.startswith(SIGNATURE) and holds_all(file))

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's signature
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        file = files.main
        behind = len(MAGIC) + LENGTH_BYTES
        if file.size < behind or file.read(0, len(MAGIC)) != MAGIC:
            raise UnsupportedError(f"{file.name}: holds many models; ask for them by cnn-filter-db:{file.name}")
        length = int.from_bytes(file.read(len(MAGIC), LENGTH_BYTES), "little")
        if length > file.size - behind:
            raise FormatError(f"{file.name}: its header claims {length} bytes")
        facts = json.loads(file.read(behind, length))
        dtype, offset = facts["dtype"], behind + length
        for name, kernels, depth, share in facts["layers"]:
            shape = (kernels, 1, 3, 3)
            yield StoredTensor(
                name=name,
                key=name,
                layer=name,
                shape=shape,
                dtype=dtype,
                location=TensorLocation(file=file, offset=offset, dtype=dtype, shape=shape),
                convolution=Convolution(op="conv2d", groups=None, source="cnn_filter_db"),
                depth=None if depth is None else depth_from_columns(depth, share),
            )
            offset += kernels * 9 * ITEMSIZE[dtype]


def depth_from_columns(depth: int, share: float) -> Depth:
    """Say where a convolution stands. Transposed ones are not in the table: the least deep may not be the first."""
    return Depth(conv_depth=depth, conv_depth_norm=share, n_conv_ancestors=None, is_first=None, is_last=None)


def holds_all(file: RandomAccessFile) -> bool:
    """Tell whether an HDF5 file has the table and the kernels of a published file; False where h5py is missing."""
    try:
        hdf5 = Hdf5(file)
        try:
            return hdf5.node(META_PATH) is not None and hdf5.node(FILTERS_PATH) is not None
        finally:
            hdf5.close()
    except CheckpointError:
        return False
