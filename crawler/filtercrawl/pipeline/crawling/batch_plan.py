"""Which layers are measured together on an accelerator, and where their kernels are in the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.stored_rows import StoredForm, stored_form

# Weights in a batch, at most: 64 MiB of float32, so that starting its operations takes little of its time.
_MAX_NUMBERS: Final = 2**24
# Memory of the device that a weight takes while its batch is measured, in bytes.
_BYTES_PER_NUMBER: Final = 128
# Share of the free memory of a device that one batch may take: of each worker two are in memory.
_MEMORY_SHARE: Final = 16
# Filters are padded to the largest of a batch: to so many times their numbers at most, where there are more than a few.
_MAX_PADDING: Final = 4
_FEW_NUMBERS: Final = 2**20
_BLOCKS: Final = tuple(2**power for power in range(3, 14))


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """Layers that are measured together.

    Attributes:
        layers: The layers, of one kernel size.
        form: The form in which their numbers are moved to the device.
        block: Rows in a block.
        first_rows: The row of the first kernel of each layer, a multiple of `block`.
        rows: Number of rows, a multiple of `block`; the last is no kernel.
    """

    layers: tuple[Layer, ...]
    form: StoredForm
    block: int
    first_rows: tuple[int, ...]
    rows: int


def numbers_per_batch(device: torch.device) -> int:
    """Return how many weights a batch may have, by the free memory of a device."""
    if device.type != "cuda":
        return _MAX_NUMBERS
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(_MAX_NUMBERS, free // (_MEMORY_SHARE * _BYTES_PER_NUMBER)))


def plan_batches(
    layers: Sequence[Layer], max_numbers: int, can_batch: Callable[[int], bool]
) -> Iterator[BatchPlan | Layer]:
    """Divide layers, in their order, into batches and into layers that are measured by themselves.

    Args:
        layers: The layers; those of one kernel size follow each other.
        max_numbers: Weights in a batch, at most.
        can_batch: Tells whether kernels of so many taps can be measured in batches.
    """
    chosen: list[Layer] = []
    size = _Size()
    for layer in layers:
        fits = can_batch(layer.taps) and 0 < layer.n_kernels * layer.taps <= max_numbers
        together = size.with_layer(layer)
        if chosen and not (fits and _are_alike(layer, chosen[0]) and together.is_allowed(max_numbers)):
            yield _planned(chosen)
            chosen, together = [], _Size().with_layer(layer)
        if fits:
            chosen.append(layer)
            size = together
        else:
            yield layer
            size = _Size()
    if chosen:
        yield _planned(chosen)


@dataclass(frozen=True)
class _Size:
    """Size of layers of one kernel size.

    Attributes:
        layers: Number of layers.
        numbers: Number of weights.
        filters: The most filters of a layer.
        filter_numbers: The most weights of a filter.
    """

    layers: int = 0
    numbers: int = 0
    filters: int = 0
    filter_numbers: int = 0

    def with_layer(self, layer: Layer) -> _Size:
        return _Size(
            layers=self.layers + 1,
            numbers=self.numbers + layer.n_kernels * layer.taps,
            filters=max(self.filters, layer.out_channels),
            filter_numbers=max(self.filter_numbers, layer.numel_per_out_channel()),
        )

    def is_allowed(self, max_numbers: int) -> bool:
        """Return whether layers may be measured together: their weights, padded filters, and pairs of filters."""
        padded = self.layers * self.filters * self.filter_numbers
        return (
            self.numbers <= max_numbers
            and self.layers * self.filters**2 <= max_numbers
            and padded <= max(_MAX_PADDING * self.numbers, _FEW_NUMBERS)
        )


def _are_alike(layer: Layer, other: Layer) -> bool:
    return layer.kernel_size == other.kernel_size and stored_form(layer) == stored_form(other)


def _planned(layers: Sequence[Layer]) -> BatchPlan:
    counts, taps = np.array([layer.n_kernels for layer in layers]), layers[0].taps
    # Rows that fill the last block of a layer are moved for nothing, and a measure returns about ten times taps^2
    # numbers of each block.
    costs = [int((-(-counts // block)).sum()) * (block * taps + 10 * taps**2) for block in _BLOCKS]
    block = _BLOCKS[int(np.argmin(costs))]
    blocks = -(-counts // block)
    if (counts % block == 0)[-1]:
        blocks[-1] += 1
    ends = np.cumsum(blocks) * block
    return BatchPlan(
        layers=tuple(layers),
        form=stored_form(layers[0]),
        block=block,
        first_rows=tuple(int(first) for first in np.r_[0, ends[:-1]]),
        rows=int(ends[-1]),
    )
