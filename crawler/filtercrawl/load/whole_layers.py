"""Read layers one after the other, each as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from filtercrawl.load.location import DatasetLocation, open_parquet
from filtercrawl.load.query import LayerRequest
from filtercrawl.load.row_groups import read_layer_parts

# Requests by file and row group.
RowGroupRequests = Mapping[str, Mapping[int, Sequence[LayerRequest]]]


def read_whole_layers(
    location: DatasetLocation, requests: RowGroupRequests
) -> Iterator[tuple[LayerRequest, NDArray[np.float32]]]:
    """Yield layers with their kernels, float32 `[n, taps]`, by file and row group.

    Memory: a row group, and the layers that begin in it.

    Args:
        location: The dataset.
        requests: The layers by file and row group.

    Raises:
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer.
    """
    for file, groups in requests.items():
        with open_parquet(location, file) as parquet:
            for group, wanted in groups.items():
                weights: dict[int, NDArray[np.float32]] = {}
                missing = {request.row: request.size for request in wanted}
                for part in read_layer_parts(parquet, group, wanted):
                    request, size = part.request, len(part.numbers)
                    if request.row not in weights:
                        weights[request.row] = np.empty(request.size, np.float32)
                    start = part.start * request.channel_size
                    weights[request.row][start : start + size] = part.numbers
                    missing[request.row] -= size
                    if not missing[request.row]:
                        yield request, weights.pop(request.row).reshape(-1, math.prod(request.shape[2:]))
