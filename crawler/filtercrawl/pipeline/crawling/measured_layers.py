"""Layers that an accelerator has normalized and measured in batches: hash and write them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.layer_batch import LayerMeasures
from filtercrawl.api.measure import LayerSummary, Measure, Sketcher
from filtercrawl.dataset.files.layers_writer import LayersFileWriter
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.samples import Samples, sample_positions
from filtercrawl.dataset.tables.staged_layers import layer_part, little_endian, n_parts
from filtercrawl.extraction.fixed_filters import is_fixed_filter_bank
from filtercrawl.extraction.layer import Layer
from filtercrawl.pipeline.crawling.batch_plan import BatchPlan, numbers_per_batch, plan_batches
from filtercrawl.pipeline.crawling.device_batches import DeviceBatches, RunningBatch
from filtercrawl.pipeline.crawling.stage_timer import StageTimer


@dataclass(frozen=True, kw_only=True)
class MeasuredLayer:
    """A layer that a device has normalized and measured.

    Attributes:
        weight: float32 `[out, in/groups, *kernel_size]`, contiguous.
        measures: What measures found out, by the name of the measure; the other measures have to be started.
    """

    weight: NDArray[np.float32]
    measures: Mapping[str, LayerMeasures]


def measure_in_batches(
    layers: Sequence[Layer], batches: DeviceBatches, timer: StageTimer
) -> Iterator[MeasuredLayer | None]:
    """Normalize and measure layers in batches; the next batch runs while the layers of the last one are written.

    Args:
        layers: The layers; those of one kernel size follow each other.
        batches: Starts batches on the device.
        timer: Measures the stage `fetch`: reading weights and moving them to the device.

    Yields:
        Each layer; None for those that are no part of a batch.

    Raises:
        CheckpointError: A file does not hold the bytes.
    """
    running: RunningBatch | None = None
    try:
        for unit in plan_batches(layers, numbers_per_batch(batches.device), batches.supports_taps):
            started = None
            if isinstance(unit, BatchPlan):
                with timer.stage("fetch"):
                    started = batches.start(unit)
            if running is not None:
                yield from _finished(running)
            running = started
            if started is None:
                yield None
        if running is not None:
            yield from _finished(running)
    except BaseException:
        batches.synchronize()  # the checkpoint is given up: the device must not read memory that is free
        raise


def _finished(running: RunningBatch) -> Iterator[MeasuredLayer]:
    finished = running.wait()
    for index in range(len(running.plan.layers)):
        yield MeasuredLayer(weight=finished.weight(index), measures=finished.measures(index))


def write_measured(
    layer: Layer, row: IndexRow, known: MeasuredLayer, measures: Sequence[Measure], writer: LayersFileWriter
) -> tuple[IndexRow, Samples, Mapping[str, Any] | None]:
    """Hash and write a layer.

    Args:
        layer: The layer.
        row: Its row so far.
        known: Its weight, and what is known of it.
        measures: All measures; those that `known` has no results of are started here, on the host.
        writer: Receives its parts.

    Returns:
        Its row with hashes and measures, the kernels picked from it, and its row of `sketches` if a measure makes one.
    """
    numbers = known.weight.reshape(-1)
    layer_sha256 = hashlib.sha256(little_endian(numbers)).hexdigest()
    max_abs, n_nonfinite = extremes(numbers)
    row = replace(row, layer_sha256=layer_sha256, weight_sha256=layer_sha256, n_nonfinite=n_nonfinite)
    spans, per_channel = n_parts(layer.shape), layer.numel_per_out_channel()
    for part, (start, stop) in enumerate(spans):
        here = numbers[start * per_channel : stop * per_channel]
        sha256 = layer_sha256 if len(spans) == 1 else hashlib.sha256(little_endian(here)).hexdigest()
        writer.add(layer_part(row, part, start, (stop - start, *layer.shape[1:]), sha256, here))
    summary = LayerSummary(
        shape=layer.shape,
        n_kernels=layer.n_kernels,
        taps=layer.taps,
        max_abs=max_abs,
        filters_known=layer.filters_known,
    )
    found = [
        known.measures.get(measure.name) or _measured_alone(measure, summary, known.weight) for measure in measures
    ]
    for one in found:
        row = row.with_measures(one.columns)
    sketch = next((one.sketch for one in found if one.sketch is not None), None)
    positions = np.asarray(sample_positions(layer_sha256, layer.n_kernels), np.int64)
    samples = Samples(positions=positions, values=numbers.reshape(-1, layer.taps)[positions])
    if row.weight_kind == "learned" and is_fixed_filter_bank(layer, samples.values):
        row = replace(row, weight_kind="fixed")
    return row, samples, None if sketch is None else {**sketch, "layer_sha256": layer_sha256}


def _measured_alone(measure: Measure, summary: LayerSummary, weight: NDArray[np.float32]) -> LayerMeasures:
    accumulator = measure.start(summary)
    accumulator.update(torch.from_numpy(weight))
    columns = accumulator.finish()
    return LayerMeasures(columns=columns, sketch=accumulator.sketch() if isinstance(accumulator, Sketcher) else None)


def extremes(numbers: NDArray[np.float32]) -> tuple[float, int]:
    """Return the largest finite magnitude and the number of values that are not finite."""
    peak = float(max(abs(numbers.min()), abs(numbers.max())))
    if np.isfinite(peak):  # NaN is the minimum of what holds one
        return peak, 0
    finite = np.abs(numbers[np.isfinite(numbers)])
    return float(finite.max(initial=0.0)), len(numbers) - len(finite)
