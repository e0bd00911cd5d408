"""Sketches made now, for layers of a dataset that was written before there were any."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.schema import SKETCHES
from filtercrawl_analysis.basis import BINS, MAX_TAPS, basis, histogram_range

Kernels = NDArray[np.float32]


class SketchMaker:
    """Makes sketches from kernels and keeps them. index: all rows of `index`."""

    def __init__(self, index: pa.Table) -> None:
        self._index = index
        self._kept: dict[str, dict[str, Any]] = {}

    def get(
        self, layers: Sequence[str], kernels: Callable[[Sequence[str]], Iterator[tuple[str, Kernels]]]
    ) -> pa.Table:
        """Return the sketches of these layers, in any order."""
        missing = [digest for digest in layers if digest not in self._kept]
        if missing:
            rows = self._index.select(["layer_sha256", "kernel", "kernel_size"]).to_pylist()
            sizes = {row["layer_sha256"]: row["kernel_size"] for row in rows}
            parts: dict[str, list[Kernels]] = {}
            for digest, part in kernels(missing):
                parts.setdefault(digest, []).append(part.copy())
            for digest, pieces in parts.items():
                self._kept[digest] = _sketch(digest, tuple(sizes[digest]), np.concatenate(pieces))
        return pa.Table.from_pylist([self._kept[digest] for digest in layers], schema=SKETCHES)


def _sketch(digest: str, size: tuple[int, ...], weight: Kernels) -> dict[str, Any]:
    taps = math.prod(size)
    wide = weight.astype(np.float64)
    flat = wide[np.isfinite(wide)]
    finite = np.isfinite(wide).all(1)
    kernels = wide[finite]
    top = float(np.abs(flat).max()) if flat.size else 0.0
    peaks = np.abs(weight[finite]).max(1) if finite.any() else np.empty(0, np.float32)
    row: dict[str, Any] = {
        "layer_sha256": digest,
        "kernel": "x".join(map(str, size)),
        "taps": taps,
        "version": 1,
        "n_kernels": len(weight),
        "n_finite": int(finite.sum()),
        "n_dead": int((peaks < np.float32(top) / np.float32(100)).sum()) if top else len(peaks),
        "n_zero": int((peaks == 0).sum()),
        "max_abs": top,
        "power_sums": [float(flat.size), *(float((flat**k).sum()) for k in (1, 2, 3, 4))],
        "norm_l1": float(np.abs(flat).sum()),
        "radial_energy": [],
    }
    if taps <= MAX_TAPS and len(kernels):
        half = weight[finite].astype(np.float16)
        tops = np.abs(half).max(1, keepdims=True)
        small = (half / np.where(tops == 0, np.float16(1), tops)).astype(np.float64)
        rows = basis(size)
        low, high = histogram_range(taps)
        coefficients = np.clip(small @ rows.T, low, high)
        counts = [np.histogram(column, BINS, (low, high))[0] for column in coefficients.T]
        row["histogram"] = np.concatenate(counts).tolist()
        for name, data in (("raw", kernels), ("scaled", small)):
            mean = data.mean(0)
            row[f"{name}_mean"] = mean.tolist()
            scatter = (data - mean).T @ (data - mean)
            row[f"{name}_scatter"] = scatter[np.triu_indices(taps)].tolist()
    return row
