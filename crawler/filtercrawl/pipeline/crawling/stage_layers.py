"""Convert, hash, measure and stage the layers of one checkpoint, with memory bounded by a row group."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.measure import LayerSummary, Measure, Sketcher
from filtercrawl.dataset.files.layers_writer import LayersFileWriter, staging
from filtercrawl.dataset.schema.arrow import INDEX
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.validation import RowCheck
from filtercrawl.dataset.tables.samples import Samples, sample_positions
from filtercrawl.dataset.tables.staged_layers import StagedLayers, index_rows, layer_part, little_endian, n_parts
from filtercrawl.extraction.fixed_filters import is_fixed_filter_bank
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.to_float32 import to_float32_in
from filtercrawl.pipeline.crawling.device_batches import DeviceBatches
from filtercrawl.pipeline.crawling.measured_layers import MeasuredLayer, measure_in_batches, write_measured
from filtercrawl.pipeline.crawling.stage_timer import StageTimer


@dataclass(frozen=True, kw_only=True)
class LayerStager:
    """Converts, hashes, measures and stages layers.

    Attributes:
        staging: Folder of staged files.
        device: Where weights are converted and measured.
        measures: Measures of each layer.
        cancellation: Ends the work between two layers.
        in_batches: Whether layers are normalized and measured in batches; None for what suits the device.
    """

    staging: Path
    device: torch.device
    measures: tuple[Measure, ...]
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    in_batches: bool | None = None

    def write(
        self, model_id: str, source: str, layers: Iterable[Layer], timer: StageTimer | None = None
    ) -> StagedLayers:
        """Convert, hash, measure and stage the layers of one checkpoint.

        Args:
            model_id: The checkpoint.
            source: Its source.
            layers: Its layers; those with an exclusion reason get a row and no weights.
            timer: Measures the stage `fetch`: reading weights and converting them to float32.

        Raises:
            CheckpointError: The weights cannot be read.
            Cancelled: The run is to end.
        """
        timer = timer or StageTimer()
        layers = tuple(layers)
        rows = index_rows(model_id, source, layers)
        check = RowCheck(INDEX)
        for row in rows:
            check.require(row.layer_id, row.to_arrow())
        emitted = [i for i, layer in enumerate(layers) if layer.exclusion_reason is None]
        emitted.sort(key=lambda i: rows[i].convolution_kind)
        samples: list[tuple[str, Samples]] = []
        sketches: list[Mapping[str, Any]] = []
        if not emitted:
            return StagedLayers.without_file(rows)
        with staging(self.staging, model_id) as writer:
            measured = self._measured([layers[i] for i in emitted], timer)
            for i, known in zip(emitted, measured, strict=True):
                self.cancellation.raise_if_cancelled()
                layer, row = layers[i], rows[i]
                first_bytes = 4 * n_parts(layer.shape)[0][1] * layer.numel_per_out_channel()
                row = replace(row, row_group=writer.start(row.convolution_kind, first_bytes))
                if known is None:
                    rows[i], picked, sketch = self._write_layer(layer, row, writer, timer)
                else:
                    rows[i], picked, sketch = write_measured(layer, row, known, self.measures, writer)
                samples.append((rows[i].layer_sha256 or "", picked))
                if sketch is not None:
                    sketches.append(sketch)
                check.require(row.layer_id, rows[i].to_arrow())  # again, with what the measures added
        return StagedLayers(
            **writer.finished(model_id, source)._asdict(),
            rows=tuple(rows),
            samples=tuple(samples),
            sketches=tuple(sketches),
        )

    def _measured(self, layers: Sequence[Layer], timer: StageTimer) -> Iterable[MeasuredLayer | None]:
        """Yield the layers that a device normalizes and measures in batches, and None for the others."""
        # MPS has no float64, and a CPU is faster with blocks that fit its cache.
        if not (self.device.type == "cuda" if self.in_batches is None else self.in_batches):
            return itertools.repeat(None, len(layers))
        return measure_in_batches(layers, DeviceBatches(self.device, self.measures), timer)

    def _write_layer(
        self, layer: Layer, row: IndexRow, writer: LayersFileWriter, timer: StageTimer
    ) -> tuple[IndexRow, Samples, Mapping[str, Any] | None]:
        """Write one layer.

        Returns:
            Its row with hashes and measures, the kernels picked from it, and its row of `sketches` if a measure makes
            one.
        """
        spans = n_parts(layer.shape)

        def read(start: int, stop: int) -> tuple[NDArray[np.float32], torch.Tensor]:
            numbers = writer.reserve((stop - start) * layer.numel_per_out_channel())
            with timer.stage("fetch"):
                return numbers, to_float32_in(numbers, layer, start, stop, self.device)

        # The hash of a layer is in each of its rows: a layer of one part is read once, a longer one twice.
        only = read(*spans[0]) if len(spans) == 1 else None

        def weights() -> Iterator[tuple[int, NDArray[np.float32], torch.Tensor]]:
            for start, stop in spans:
                yield start, *(only or read(start, stop))

        whole, peak, n_nonfinite = hashlib.sha256(), 0.0, 0
        digests: list[str] = []
        for _, numbers, weight in weights():
            data = little_endian(numbers)
            whole.update(data)
            digests.append((whole if len(spans) == 1 else hashlib.sha256(data)).hexdigest())
            largest, bad = extremes(weight)
            peak, n_nonfinite = max(peak, largest), n_nonfinite + bad
        layer_sha256 = whole.hexdigest()
        row = replace(row, layer_sha256=layer_sha256, weight_sha256=layer_sha256, n_nonfinite=n_nonfinite)
        summary = LayerSummary(
            shape=layer.shape,
            n_kernels=layer.n_kernels,
            taps=layer.taps,
            max_abs=peak,
            filters_known=layer.filters_known,
        )
        running = [measure.start(summary) for measure in self.measures]
        positions = np.asarray(sample_positions(layer_sha256, layer.n_kernels), np.int64)
        sampled: list[NDArray[np.float32]] = []
        for part, ((start, numbers, weight), sha256) in enumerate(zip(weights(), digests, strict=True)):
            for accumulator in running:
                accumulator.update(weight)
            first, last = start * layer.shape[1], (start + len(weight)) * layer.shape[1]
            here = positions[(positions >= first) & (positions < last)]
            sampled.append(numbers.reshape(-1, layer.taps)[here - first])
            writer.add(layer_part(row, part, start, tuple(weight.shape), sha256, numbers))
        for accumulator in running:
            row = row.with_measures(accumulator.finish())
        sketcher = next((accumulator for accumulator in running if isinstance(accumulator, Sketcher)), None)
        sketch = None if sketcher is None else {**sketcher.sketch(), "layer_sha256": layer_sha256}
        samples = Samples(positions=positions, values=np.concatenate(sampled))
        if row.weight_kind == "learned" and is_fixed_filter_bank(layer, samples.values):
            row = replace(row, weight_kind="fixed")
        return row, samples, sketch


def extremes(weight: torch.Tensor) -> tuple[float, int]:
    """Return the largest finite magnitude and the number of values that are not finite."""
    low, high = torch.aminmax(weight)
    peak = max(abs(float(low)), abs(float(high)))
    if math.isfinite(peak):  # aminmax passes NaN on, so that one cheap test clears most layers
        return peak, 0
    finite = torch.isfinite(weight)
    magnitudes = weight[finite].abs()
    return float(magnitudes.max()) if magnitudes.numel() else 0.0, int((~finite).sum())
