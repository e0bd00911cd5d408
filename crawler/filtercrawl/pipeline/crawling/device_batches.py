"""Batches of layers on an accelerator: one is normalized and measured while the host hashes the one before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from filtercrawl.api.layer_batch import BatchedLayer, LayerBatch, LayerMeasures, PendingMeasures, SupportsLayerBatch
from filtercrawl.api.measure import Measure
from filtercrawl.extraction.stored_rows import StoredRows
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl.pipeline.crawling.batch_plan import BatchPlan

_ALIGNMENT: Final = 64
# What is uploaded beside the weights: scale, zero point, order, layer and places in filters of each row; and the rest.
_BYTES_PER_ROW: Final = 40
_OTHER_BYTES: Final = 2**16


class HostBuffer:
    """Memory of the host that a device copies from without waiting; grows to what a batch needs.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._pinned = device.type == "cuda"
        self._chunk: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._full: list[NDArray[np.uint8]] = []  # chunks that are read until the buffer is cleared
        self._used = 0  # of the chunk

    def clear(self, size: int) -> None:
        """Give all memory free, which no device may read any more, and provide for arrays of so many bytes."""
        self._full = []
        self._used = 0
        if len(self._chunk) < size:
            self._add_chunk(size)

    def take(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an array with undefined numbers."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        aligned = -(-size // _ALIGNMENT) * _ALIGNMENT
        if self._used + aligned > len(self._chunk):
            self._full.append(self._chunk)
            self._add_chunk(2 * aligned)
        start, self._used = self._used, self._used + aligned
        array: NDArray[Any] = self._chunk[start : start + size].view(dtype).reshape(shape)
        return array

    def _add_chunk(self, size: int) -> None:
        self._chunk = torch.empty(size, dtype=torch.uint8, pin_memory=self._pinned).numpy()
        self._used = 0


class DeviceBatches:
    """Starts batches on a device, each on the stream of this worker.

    Args:
        device: The device; it has float64.
        measures: Measures of each layer.

    Attributes:
        device: The device.
    """

    def __init__(self, device: torch.device, measures: Sequence[Measure]) -> None:
        self.device = device
        self._measures = [measure for measure in measures if isinstance(measure, SupportsLayerBatch)]
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers = [HostBuffer(device), HostBuffer(device)]  # of the running batch and the one before

    def supports_taps(self, taps: int) -> bool:
        """Return whether a measure can measure kernels of so many taps in batches."""
        return any(measure.supports_taps(taps) for measure in self._measures)

    def start(self, plan: BatchPlan) -> RunningBatch:
        """Read the layers of a batch, and start to normalize and measure them.

        The batch before the last one must be finished.

        Raises:
            CheckpointError: A file does not hold the bytes.
        """
        buffer = self._buffers[0]
        self._buffers.reverse()
        taps = plan.layers[0].taps
        buffer.clear(plan.rows * (taps * np.dtype(plan.form.moved_as).itemsize + _BYTES_PER_ROW) + _OTHER_BYTES)
        stored = StoredRows(
            layers=plan.layers,
            first_rows=plan.first_rows,
            form=plan.form,
            rows=buffer.take((plan.rows, taps), plan.form.moved_as),
        )
        stored.read()

        def upload(array: NDArray[Any]) -> torch.Tensor:
            if array is not stored.rows:
                copy = buffer.take(array.shape, array.dtype)
                copy[...] = array
                array = copy
            moved: torch.Tensor = from_dlpack(array).to(self.device, non_blocking=True, copy=True)
            return moved

        with self._on_stream():
            kernels = stored.normalize(upload)
            batch = LayerBatch(layers=_places(plan), block=plan.block, kernels=kernels, upload=upload)
            pending = {
                measure.name: measure.start_batch(batch) for measure in self._measures if measure.supports_taps(taps)
            }
            return RunningBatch(plan, stored, kernels, pending)

    def synchronize(self) -> None:
        """Wait for everything that was started."""
        if self._stream is not None:
            self._stream.synchronize()

    def _on_stream(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


class RunningBatch:
    """A batch that a device normalizes and measures.

    Args:
        plan: The layers.
        stored: Their kernels as stored, on the host.
        kernels: Their kernels as float32, on the device.
        pending: What measures compute of them.
    """

    def __init__(
        self, plan: BatchPlan, stored: StoredRows, kernels: torch.Tensor, pending: Mapping[str, PendingMeasures]
    ) -> None:
        self.plan = plan
        self._pending = pending
        self._rows = stored.rows if plan.form.is_float32 and not stored.is_reordered else None
        self._copy = None if self._rows is not None else _to_host(kernels)
        self._results = {name: _to_host(one.results) for name, one in pending.items()}
        self._done: torch.cuda.Event | None = None
        if kernels.device.type == "cuda":
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def wait(self) -> FinishedBatch:
        """Wait for the device, the only time for this batch."""
        if self._done is not None:
            self._done.synchronize()
        rows: NDArray[Any] | None = self._rows
        if self._copy is not None:
            rows = np.from_dlpack(self._copy)
        assert rows is not None
        measures = {name: one.finish(np.from_dlpack(self._results[name])) for name, one in self._pending.items()}
        return FinishedBatch(self.plan, rows, measures)


class FinishedBatch:
    """The weights and the measures of a batch, on the host.

    Args:
        plan: The layers.
        rows: Their kernels, float32 [rows, taps].
        measures: What measures found out about each layer, by the name of the measure.
    """

    def __init__(
        self, plan: BatchPlan, rows: NDArray[np.float32], measures: Mapping[str, Sequence[LayerMeasures | None]]
    ) -> None:
        self._plan = plan
        self._rows = rows
        self._measures = measures

    def weight(self, index: int) -> NDArray[np.float32]:
        """Return the weight of a layer, float32 `[out, in/groups, *kernel_size]`; valid until two batches later.

        Raises:
            CheckpointError: The file does not hold the bytes.
        """
        layer, first = self._plan.layers[index], self._plan.first_rows[index]
        weight = self._rows[first : first + layer.n_kernels].reshape(layer.shape)
        if not self._plan.form.is_float32 and not np.isfinite(weight).all():
            # Which NaN a widened NaN becomes depends on the device; hashes are of what the CPU makes of it.
            weight = to_float32(layer, 0, layer.out_channels, torch.device("cpu")).numpy()
        return weight

    def measures(self, index: int) -> dict[str, LayerMeasures]:
        """Return the measures of a layer by the name of the measure; without those it has to be measured by alone."""
        found = {name: layers[index] for name, layers in self._measures.items()}
        return {name: one for name, one in found.items() if one is not None}


def _places(plan: BatchPlan) -> tuple[BatchedLayer, ...]:
    return tuple(
        BatchedLayer(shape=layer.shape, first_row=first, filters_known=layer.filters_known)
        for layer, first in zip(plan.layers, plan.first_rows, strict=True)
    )


def _to_host(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.to("cpu", non_blocking=True, copy=True)  # into pinned memory
