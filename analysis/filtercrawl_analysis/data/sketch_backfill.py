"""Sketches computed on demand, for layers of datasets that were written before sketches existed."""

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
ReadKernels = Callable[[Sequence[str]], Iterator[tuple[str, Kernels]]]


class SketchBuilder:
    """Computes sketches from kernels, as `sync` does, and caches them."""

    def __init__(self, index: pa.Table) -> None:
        """Prepare for the layers of `index`, a table of all its rows."""
        self._index = index
        self._cache: dict[str, dict[str, Any]] = {}

    def get(self, layers: Sequence[str], read_kernels: ReadKernels) -> pa.Table:
        """Return the sketches of layers.

        Args:
            layers: The layer_sha256 of each.
            read_kernels: Reads the kernels of layers, the parts of a layer one after the other.

        Returns:
            Rows of the schema SKETCHES in the order of `layers`.
        """
        missing = [digest for digest in layers if digest not in self._cache]
        if missing:
            summaries = self._summaries()
            current: tuple[str, LayerSketch] | None = None
            for digest, part in read_kernels(missing):
                if current is None or current[0] != digest:
                    self._finish(current)
                    current = digest, LayerSketch(summaries[digest])
                # As filters of one kernel each: a sketch does not depend on filters.
                weight = torch.from_numpy(part.copy()).view(len(part), 1, *summaries[digest].shape[2:])
                current[1].update(weight)
            self._finish(current)
        return pa.Table.from_pylist([self._cache[digest] for digest in layers], schema=SKETCHES)

    def _finish(self, current: tuple[str, LayerSketch] | None) -> None:
        if current is not None:
            digest, sketch = current
            self._cache[digest] = {"layer_sha256": digest, **sketch.finish()}

    def _summaries(self) -> dict[str, LayerSummary]:
        rows = self._index.select(["layer_sha256", "shape", "n_kernels", "taps", "norm_linf"]).to_pylist()
        return {
            row["layer_sha256"]: LayerSummary(
                shape=tuple(row["shape"]),
                n_kernels=row["n_kernels"],
                taps=row["taps"],
                # Null without a finite weight; nothing then uses the maximum.
                max_abs=row["norm_linf"] or 0.0,
            )
            for row in rows
        }
