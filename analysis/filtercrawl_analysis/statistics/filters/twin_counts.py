"""How many filters have a twin of which similarity, by the number of their weights."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.filters.layer_filters import LayerFilters

_BINS: Final = 50
# Filters of few weights have similar twins by chance.
_LIMITS: Final = (32, 512)
_NAMES: Final = ("up to 32", "33 to 512", "more than 512")
_SCHEMA: Final = pa.schema(
    [
        pa.field("weights", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("similarity_from", "similarity_to", "share")),
        *(pa.field(name, pa.int64()) for name in ("filters", "opposite")),
    ]
)


class TwinCounts:
    """Counts filters in bins of the magnitude of the cosine with their twin."""

    def __init__(self) -> None:
        self._counts = np.zeros((len(_NAMES), 2, _BINS))

    def add(self, filters: LayerFilters, n_weights: int) -> None:
        """Add the filters of a layer that are not dead.

        Args:
            filters: The filters.
            n_weights: Weights of each.
        """
        cosines = filters.twin_cosine[np.isfinite(filters.twin_cosine) & ~filters.dead]
        counts = self._counts[int(np.searchsorted(_LIMITS, n_weights))]
        for row, selected in enumerate((cosines, cosines[cosines < 0])):
            counts[row] += np.histogram(np.minimum(np.abs(selected), 1.0), bins=_BINS, range=(0, 1))[0]

    @property
    def total(self) -> int:
        """Filters that were added."""
        return int(self._counts[:, 0].sum())

    def table(self) -> pa.Table:
        """Return one row per bin and class of filters; `opposite` counts the twins of opposite sign."""
        rows = [
            {
                "weights": name,
                "similarity_from": i / _BINS,
                "similarity_to": (i + 1) / _BINS,
                "share": float(counts[0, i] / counts[0].sum()),
                "filters": int(counts[0, i]),
                "opposite": int(counts[1, i]),
            }
            for name, counts in zip(_NAMES, self._counts, strict=True)
            if counts[0].any()
            for i in range(_BINS)
        ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)
