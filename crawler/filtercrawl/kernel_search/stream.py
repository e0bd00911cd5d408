"""All kernels of one size that a condition selects, as a stream of blocks with numbers that identify them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.load.kernel_numbers import KernelBlock, KernelNumbers
from filtercrawl.load.location import DatasetLocation, open_parquet
from filtercrawl.load.query import group_by_row_group, select_layers
from filtercrawl.load.row_groups import read_layer_parts

# Columns of `index` that describe a kernel that was found.
DESCRIBING: Final = ("layer_id", "model_id", "layer", "kernel", "license")


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelStream:
    """The kernels of layers of one size, numbered in the order of `index`.

    Attributes:
        location: The dataset.
        layers: The layers, as `select_layers` returns them.
    """

    location: DatasetLocation
    layers: pa.Table

    @classmethod
    def select(cls, location: DatasetLocation, kernel: str, where: str | None) -> Self:
        """Select the layers of one kernel size; no weight is read.

        Raises:
            UsageError: The condition is not understood.
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer.
        """
        this_size = duckdb.ColumnExpression("kernel") == duckdb.ConstantExpression(kernel)
        return cls(location=location, layers=select_layers(location.index(), where, DESCRIBING, this_size))

    @cached_property
    def numbers(self) -> KernelNumbers:
        """The numbers of the kernels."""
        return KernelNumbers(self.layers)

    def blocks(self, size: int) -> Iterator[KernelBlock]:
        """Yield the kernels as they are stored, small parts of layers together, up to one and a half times `size`.

        Raises:
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer.
        """
        waiting: list[tuple[NDArray[np.float32], int]] = []
        count = 0
        for kernels, first in self._parts():
            for start in range(0, len(kernels), size):
                waiting.append((kernels[start : start + size], first + start))
                count += len(waiting[-1][0])
                if count >= size // 2:
                    yield KernelBlock.joined(waiting)
                    waiting, count = [], 0
        if waiting:
            yield KernelBlock.joined(waiting)

    def describe(self, numbers: NDArray[np.int64]) -> dict[str, Any]:
        """Return the ids of kernels, the columns of `DESCRIBING`, and their channels, by name."""
        places = self.numbers.places(numbers)
        found = self.layers.select(DESCRIBING).take(pa.array(places.row))
        return {
            "kernel_id": pa.array(self.numbers.ids(numbers), pa.string()),
            **{name: found[name] for name in DESCRIBING},
            "out_channel": pa.array(places.out_channel),
            "in_channel": pa.array(places.in_channel),
        }

    def _parts(self) -> Iterator[tuple[NDArray[np.float32], int]]:
        """Yield each stored part of a layer `[n, taps]` with the number of its first kernel."""
        for path, groups in group_by_row_group(self.layers).items():
            with open_parquet(self.location, path) as file:
                for group, requests in groups.items():
                    for part in read_layer_parts(file, group, requests):
                        kernels = part.numbers.reshape(-1, math.prod(part.request.shape[2:]))
                        yield kernels, self.numbers.first_of(part.request.row, part.start)
