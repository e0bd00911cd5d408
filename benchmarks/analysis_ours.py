"""The same from a dataset of ours: exact (its own range, kernels read once), from sketches, and made anew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.measure import LayerSummary
from filtercrawl.dataset.schema.arrow import SKETCHES
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.layer_stats.sketch import LayerSketch
from filtercrawl_analysis.numerics.merge import Sketches, unpack_symmetric
from filtercrawl_analysis.statistics.components.coefficients import CoefficientHistograms, coefficient_histograms
from filtercrawl_analysis.statistics.drift.divergence import pairwise_drift, probabilities
from filtercrawl_analysis.statistics.groups.labels import layer_groups


def exact(folder: Path) -> dict[str, Any]:
    """Principal components of all kernels, and one range of their coefficients; weights are read once."""
    return _run(folder, exact=True)


def sketch(folder: Path) -> dict[str, Any]:
    """From the sketches that the dataset has; no weight is read."""
    return _run(folder, exact=False)


def made(folder: Path) -> dict[str, Any]:
    """What a sync pays for sketches: read every weight, sketch it, and merge."""
    view = FolderDatasetView(folder / "dataset", AnalysisOptions(by=("model_id",)))
    index = view.index
    facts = {row["layer_sha256"]: row for row in index.select(["layer_sha256", "shape", "norm_linf"]).to_pylist()}
    rows: list[dict[str, Any]] = []
    running: tuple[str, LayerSketch] | None = None
    for digest, part in view.kernels(index["layer_sha256"].to_pylist()):
        out, inputs, *size = facts[digest]["shape"]
        if running is None or running[0] != digest:
            rows += [] if running is None else [{"layer_sha256": running[0], **running[1].finish()}]
            top = facts[digest]["norm_linf"]
            about = LayerSummary(shape=(out, inputs, *size), n_kernels=out * inputs, taps=part.shape[1], max_abs=top)
            running = digest, LayerSketch(about)
        # Filters of one kernel: a sketch knows no filters, and parts end anywhere.
        running[1].update(torch.from_dlpack(part).view(-1, 1, *size))
    assert running is not None
    rows.append({"layer_sha256": running[0], **running[1].finish()})
    table = pa.Table.from_pylist(rows, schema=SKETCHES)
    pq.write_table(table, folder / "made.parquet")
    return {"layers": len(rows)}


def _run(folder: Path, *, exact: bool) -> dict[str, Any]:
    view = FolderDatasetView(folder / "dataset", AnalysisOptions(by=("model_id",), exact=exact))
    index = view.index
    parted = layer_groups(index, ("model_id",))
    found = coefficient_histograms(view, index, parted)
    assert found is not None
    drift = grouped(found, parted.labels["model_id"])
    sketches = Sketches.from_table(view.sketches(index["layer_sha256"].to_pylist()))
    result: dict[str, Any] = {"drift": drift, "sparsity": sketches.n_dead / sketches.n_finite}
    assert sketches.raw_scatter is not None
    variances = np.linalg.eigvalsh(unpack_symmetric(sketches.raw_scatter)).clip(0)
    shares = variances / variances.sum(1, keepdims=True)
    result["entropy"] = -(shares * np.log10(np.where(shares > 0, shares, 1))).sum(1)
    # Layers lie in the order of the dataset, which is that of the networks and of their layers.
    labels = [str((i + 1) % len(parted)) for i in range(len(parted))]  # as many groups as the notebook makes again
    result["regroup"] = min(_seconds(lambda: grouped(found, labels)) for _ in range(20))
    return result


def grouped(found: CoefficientHistograms, labels: list[str | None]) -> np.ndarray:
    """Drift between groups of units: what regrouping costs, no kernel is looked at."""
    names, codes = np.unique(np.array(labels), return_inverse=True)
    counts = np.zeros((len(names), *found.counts.shape[1:]), np.int64)
    np.add.at(counts, codes, found.counts)
    p = probabilities(counts, found.space.bin_width)
    return pairwise_drift(p, p, found.space.weights)


def _seconds(call: Any) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
