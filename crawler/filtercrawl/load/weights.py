"""Read the weights of selected layers into one buffer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.load.location import DatasetLocation, open_parquet
from filtercrawl.load.query import group_by_row_group
from filtercrawl.load.row_groups import read_layer_parts


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """The weights of layers in one buffer, row after row.

    Attributes:
        shapes: Of each layer, `[out, in/groups, *kernel_size]`.
        offsets: Where each layer starts, and where the last one ends, int64.
        buffer: The numbers, float32.
    """

    shapes: list[tuple[int, ...]]
    offsets: NDArray[np.int64]
    buffer: pa.Buffer

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """Return the weight of a layer, which may be written to."""
        return self._numbers[self.offsets[row] : self.offsets[row + 1]].reshape(self.shapes[row])

    @property
    def _numbers(self) -> NDArray[np.float32]:
        return np.frombuffer(self.buffer, np.float32)

    def to_arrow(self) -> pa.Array[Any]:
        """Return a large list of each layer, without a copy."""
        values = pa.Array.from_buffers(pa.float32(), int(self.offsets[-1]), [None, self.buffer])
        return pa.LargeListArray.from_arrays(pa.array(self.offsets), values)


def read_weights(location: DatasetLocation, selected: pa.Table) -> LayerWeights:
    """Read the weights of the layers that `select_layers` returned, in the order of the rows.

    Memory: the result and one row group.

    Raises:
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer.
    """
    shapes = [tuple(shape) for shape in selected["shape"].to_pylist()]
    sizes = [math.prod(shape) for shape in shapes]
    if min(sizes, default=0) < 0:
        raise DatasetError(f"{location}: the index has a shape of {min(sizes)} numbers")
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    buffer = pa.allocate_buffer(4 * int(offsets[-1]))
    numbers = np.frombuffer(buffer, np.float32)
    for path, groups in group_by_row_group(selected).items():
        with open_parquet(location, path) as file:
            for group, requests in groups.items():
                for part in read_layer_parts(file, group, requests):
                    start = offsets[part.request.row] + part.start * part.request.channel_size
                    numbers[start : start + len(part.numbers)] = part.numbers
    return LayerWeights(shapes=shapes, offsets=offsets, buffer=buffer)
