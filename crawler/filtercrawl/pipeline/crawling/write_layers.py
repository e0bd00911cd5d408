"""Normalize, hash, measure and write one checkpoint's layers, memory bounded by a row group."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary, Measure, Sketcher
from filtercrawl.dataset.files.layers_writer import LayersFileWriter, staging
from filtercrawl.dataset.schema.arrow import INDEX
from filtercrawl.dataset.schema.rows import Row
from filtercrawl.dataset.schema.validation import check_row
from filtercrawl.dataset.tables.index_row import convolution_kind, layer_row, n_parts
from filtercrawl.dataset.tables.samples import Samples, sample_positions
from filtercrawl.dataset.tables.staged_layers import LayerPart, StagedLayers, little_endian
from filtercrawl.extraction.fixed_filters import is_fixed_filter_bank
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.to_float32 import to_float32


@dataclass(frozen=True, kw_only=True)
class LayerWriteOptions:
    """How layers are made: where files are staged, on which device, with which measures.

    pause is called between layers; it may raise to end the work on a large checkpoint soon.
    """

    staging: Path
    device: torch.device
    measures: tuple[Measure, ...]
    check_cancelled: Callable[[], None] = lambda: None


def write_layers(model_id: str, source: str, layers: Iterable[Layer], options: LayerWriteOptions) -> StagedLayers:
    """Normalize, hash, measure and write the layers of one checkpoint; raises CheckpointError."""
    described = [(layer_row(model_id, source, layer), layer) for layer in layers]
    rows = [row for row, _ in described]
    for row in rows:
        check_row(row["layer_id"], row, INDEX)
    emitted = [(row, layer) for row, layer in described if layer.exclusion_reason is None]
    emitted.sort(key=lambda item: convolution_kind(item[0]))
    samples: list[tuple[str, Samples]] = []
    sketches: list[Row] = []
    if not emitted:
        return StagedLayers.without_file(rows)
    with staging(options.staging, model_id) as writer:
        for row, layer in emitted:
            options.check_cancelled()
            row["row_group"] = writer.start(
                convolution_kind(row), 4 * n_parts(layer.shape)[0][1] * layer.numel_per_out_channel()
            )
            samples.append(_write_layer(layer, row, writer, options, sketches))
            check_row(row["layer_id"], row, INDEX)  # again, for what the measures add
    return StagedLayers(
        **writer.finished(model_id, source)._asdict(),
        rows=tuple(rows),
        samples=tuple(samples),
        sketches=tuple(sketches),
    )


def _write_layer(
    layer: Layer, row: Row, writer: LayersFileWriter, options: LayerWriteOptions, sketches: list[Row]
) -> tuple[str, Samples]:
    spans = n_parts(layer.shape)
    # A layer's hash stands in each of its rows: a layer of one part is read once, a longer one twice.
    only = to_float32(layer, *spans[0], options.device) if len(spans) == 1 else None

    def weights() -> Iterator[tuple[int, torch.Tensor]]:
        for start, stop in spans:
            yield start, only if only is not None else to_float32(layer, start, stop, options.device)

    whole, peak, n_nonfinite = hashlib.sha256(), 0.0, 0
    found: list[LayerPart] = []
    for number, (start, weight) in enumerate(weights()):
        data = little_endian(weight.cpu().numpy())
        whole.update(data)
        digest = (whole if len(spans) == 1 else hashlib.sha256(data)).hexdigest()
        found.append(LayerPart(number=number, start=start, shape=tuple(weight.shape), sha256=digest))
        largest, bad = extremes(weight)
        peak, n_nonfinite = max(peak, largest), n_nonfinite + bad
    row["layer_sha256"] = row["weight_sha256"] = whole.hexdigest()
    row["n_nonfinite"] = n_nonfinite
    summary = LayerSummary(
        shape=layer.shape,
        n_kernels=layer.n_kernels,
        taps=layer.taps,
        max_abs=peak,
        filters_known=layer.filters_known,
    )
    running = [measure.start(summary) for measure in options.measures]
    chosen = np.asarray(sample_positions(row["layer_sha256"], layer.n_kernels), np.int64)
    taken: list[NDArray[np.float32]] = []
    for part, (start, weight) in zip(found, weights(), strict=True):
        for accumulator in running:
            accumulator.update(weight)
        numbers = weight.cpu().contiguous().view(-1, layer.taps).numpy()
        here = chosen[(chosen >= start * layer.shape[1]) & (chosen < (start + len(weight)) * layer.shape[1])]
        taken.append(numbers[here - start * layer.shape[1]])
        writer.add(part.row(row), numbers.reshape(-1))
    for accumulator in running:
        row.update(accumulator.finish())
    sketcher = next((accumulator for accumulator in running if isinstance(accumulator, Sketcher)), None)
    if sketcher is not None:
        sketches.append({**sketcher.sketch(), "layer_sha256": row["layer_sha256"]})
    samples = Samples(positions=chosen, values=np.concatenate(taken))
    if row["weight_kind"] == "learned" and is_fixed_filter_bank(layer, samples.values):
        row["weight_kind"] = "fixed"
    return row["layer_sha256"], samples


def extremes(weight: torch.Tensor) -> tuple[float, int]:
    """Return the largest finite magnitude and the number of values that are not finite."""
    low, high = torch.aminmax(weight)
    peak = max(abs(float(low)), abs(float(high)))
    if math.isfinite(peak):  # a NaN passes through aminmax: one cheap look clears most layers
        return peak, 0
    finite = torch.isfinite(weight)
    magnitudes = weight[finite].abs()
    return float(magnitudes.max()) if magnitudes.numel() else 0.0, int((~finite).sum())
