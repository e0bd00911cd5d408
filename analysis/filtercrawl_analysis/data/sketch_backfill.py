"""Sketches made now, for layers of a dataset that was written before there were any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl.dataset.schema.arrow import SKETCHES
from filtercrawl_analysis.layer_stats.sketch import LayerSketch

Kernels = NDArray[np.float32]
Reads = Callable[[Sequence[str]], Iterator[tuple[str, Kernels]]]


class SketchBuilder:
    """Makes sketches from kernels, as `sync` does, and keeps them. index: all rows of `index`."""

    def __init__(self, index: pa.Table) -> None:
        self._index = index
        self._kept: dict[str, dict[str, Any]] = {}

    def get(self, layers: Sequence[str], kernels: Reads) -> pa.Table:
        """Return the sketches of these layers; kernels: reads theirs, the parts of a layer behind one another."""
        missing = [digest for digest in layers if digest not in self._kept]
        if missing:
            summaries = self._summaries()
            running: tuple[str, LayerSketch] | None = None
            for digest, part in kernels(missing):
                if running is None or running[0] != digest:
                    self._finish(running)
                    running = digest, LayerSketch(summaries[digest])
                # Filters of one kernel: a sketch knows no filters.
                weight = torch.from_numpy(part.copy()).view(len(part), 1, *summaries[digest].shape[2:])
                running[1].update(weight)
            self._finish(running)
        return pa.Table.from_pylist([self._kept[digest] for digest in layers], schema=SKETCHES)

    def _finish(self, running: tuple[str, LayerSketch] | None) -> None:
        if running is not None:
            digest, sketch = running
            self._kept[digest] = {"layer_sha256": digest, **sketch.finish()}

    def _summaries(self) -> dict[str, LayerSummary]:
        rows = self._index.select(["layer_sha256", "shape", "n_kernels", "taps", "norm_linf"]).to_pylist()
        return {
            row["layer_sha256"]: LayerSummary(
                shape=tuple(row["shape"]),
                n_kernels=row["n_kernels"],
                taps=row["taps"],
                # No finite weight: no maximum, and nothing that it would be used for.
                max_abs=row["norm_linf"] or 0.0,
            )
            for row in rows
        }
