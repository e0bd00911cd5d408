"""Numbers of the kernels of selected layers, and the ids that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


class KernelPlaces(NamedTuple):
    """Where kernels are: the row of their layer among the selected ones, and their channels, `[n]` each."""

    row: Numbers
    out_channel: Numbers
    in_channel: Numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelBlock:
    """Kernels of one or several parts of layers.

    Attributes:
        kernels: float32 `[m, taps]`, must not be written to.
        start: The first row of each part, from 0 [parts].
        first: The number of the kernel in that row; those of a part follow one another [parts].
    """

    kernels: NDArray[np.float32]
    start: Numbers
    first: Numbers

    @classmethod
    def joined(cls, parts: Sequence[tuple[NDArray[np.float32], int]]) -> Self:
        """Return parts, each with the number of its first kernel, as one block; one part is not copied."""
        start = np.cumsum([0, *(len(kernels) for kernels, _ in parts[:-1])], dtype=np.int64)
        kernels = parts[0][0] if len(parts) == 1 else np.concatenate([kernels for kernels, _ in parts])
        return cls(kernels=kernels, start=start, first=np.array([first for _, first in parts], np.int64))

    def numbers(self, rows: Numbers) -> Numbers:
        """Return the numbers of kernels by their rows."""
        part = np.searchsorted(self.start, rows, side="right") - 1
        return self.first[part] + rows - self.start[part]


@dataclass(frozen=True, eq=False)
class KernelNumbers:
    """The kernels of layers, numbered from 0: layer after layer, by output and then by input channel.

    Attributes:
        layers: The layers, with the columns `layer_id` and `shape`.
    """

    layers: pa.Table

    @cached_property
    def _shapes(self) -> Numbers:
        """Output channels, and input channels of a group, of each layer [layers, 2]."""
        shapes: list[Any] = self.layers["shape"].to_pylist()
        return np.array([shape[:2] for shape in shapes], np.int64).reshape(-1, 2)

    @cached_property
    def first(self) -> Numbers:
        """Number of the first kernel of each layer, and the number of all kernels [layers + 1]."""
        return np.concatenate([[0], np.cumsum(self._shapes.prod(1))]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.first[-1])

    def first_of(self, row: int, out_channel: int) -> int:
        """Return the number of the first kernel of an output channel of a layer."""
        return int(self.first[row] + out_channel * self._shapes[row, 1])

    def of_part(self, row: int, start: int, count: int) -> Numbers:
        """Return the numbers of so many kernels of a layer from an output channel on."""
        first = self.first_of(row, start)
        return np.arange(first, first + count)

    def places(self, numbers: Numbers) -> KernelPlaces:
        """Return where kernels are."""
        row = np.searchsorted(self.first, numbers, side="right") - 1
        out_channel, in_channel = np.divmod(numbers - self.first[row], self._shapes[row, 1])
        return KernelPlaces(row, out_channel, in_channel)

    def ids(self, numbers: Numbers) -> list[str]:
        """Return the ids of kernels, `layer_id:out:in`."""
        places = self.places(numbers)
        layers = self.layers["layer_id"].take(pa.array(places.row)).to_pylist()
        channels = zip(layers, places.out_channel.tolist(), places.in_channel.tolist(), strict=True)
        return [f"{layer}:{out}:{channel}" for layer, out, channel in channels]
