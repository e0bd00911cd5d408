"""Protocols of measures that measure many layers at once, on an accelerator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.measure import Measure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class BatchedLayer:
    """Where the kernels of a layer are in a batch.

    Attributes:
        shape: `[out_channels, in_channels/groups, *kernel_size]`.
        first_row: The row of its first kernel, a multiple of `LayerBatch.block`.
        filters_known: False if the first axis only lists kernels, so that statistics of filters are undefined.
    """

    shape: tuple[int, ...]
    first_row: int
    filters_known: bool = True

    @property
    def n_kernels(self) -> int:
        """Number of kernels."""
        return self.shape[0] * self.shape[1]

    @property
    def taps(self) -> int:
        """Spatial positions of a kernel."""
        return math.prod(self.shape[2:])


@dataclass(frozen=True, kw_only=True)
class LayerBatch:
    """Kernels of layers of one kernel size, one layer after another.

    Rows of zeros fill the last block of each layer, and at least the last row of the batch is one.

    Attributes:
        layers: The layers, in the order of their rows.
        block: Rows in a block; a block holds kernels of one layer only.
        kernels: float32 [rows, taps], on the device; rows are a multiple of `block`.
        upload: Copies an array to the device, through memory from which copies do not wait.
    """

    layers: tuple[BatchedLayer, ...]
    block: int
    kernels: torch.Tensor
    upload: Callable[[NDArray[Any]], torch.Tensor]

    @property
    def first_blocks(self) -> NDArray[np.int64]:
        """The first block of each layer, int64 [layers]."""
        return np.array([layer.first_row // self.block for layer in self.layers], np.int64)


@dataclass(frozen=True, kw_only=True)
class LayerMeasures:
    """What a measure finds out about one layer.

    Attributes:
        columns: Columns of `index`; None if a statistic is undefined.
        sketch: A row of `sketches` without `layer_sha256`; None from a measure that makes none.
    """

    columns: Mapping[str, float | int | None]
    sketch: Mapping[str, Any] | None = None


class PendingMeasures(Protocol):
    """Measures of a batch that the device still computes."""

    @property
    def results(self) -> torch.Tensor:
        """The numbers that `finish` needs, [n] on the device."""
        ...

    def finish(self, results: NDArray[Any]) -> Sequence[LayerMeasures | None]:
        """Return the measures of each layer.

        Args:
            results: The numbers of `results`, on the host.

        Returns:
            One for each layer; None for a layer that has to be measured by itself, with `Measure.start`.
        """
        ...


@runtime_checkable
class SupportsLayerBatch(Measure, Protocol):
    """A measure that can measure many layers at once."""

    def supports_taps(self, taps: int) -> bool:
        """Return whether kernels of so many taps can be measured in batches."""
        ...

    def start_batch(self, batch: LayerBatch) -> PendingMeasures:
        """Begin to measure the layers of a batch, without waiting for the device.

        No operation here may depend on numbers of the device: no `.item()`, `.cpu()`, boolean index or `nonzero`.

        Args:
            batch: The layers. The kernels must not be changed.
        """
        ...
