"""Means and scatters of many layers as arrays, and those of groups of layers, merged exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.merge import Sketches, merge_moments, pack_symmetric, unpack_symmetric

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of some sets of kernels each: n [s], mean [s, taps], scatter sum (k - mean)(k - mean)^T [s, taps, taps]."""

    n: Array
    mean: Array
    scatter: Array

    def second_moment(self) -> Array:
        """Return sum k k^T, the second moments around zero, [s, taps, taps]."""
        return self.scatter + self.n[:, None, None] * self.mean[:, :, None] * self.mean[:, None, :]

    def merge(self, groups: NDArray[np.int64], count: int) -> Moments:
        """Return the moments of the unions: groups, int64 [s], says which of `count` each set belongs to."""
        mean, scatter = merge_moments(self.n, self.mean, pack_symmetric(self.scatter), groups, count)
        n = np.bincount(groups, self.n, count).astype(np.float64)
        return Moments(n=n, mean=mean, scatter=unpack_symmetric(scatter))

    def total(self) -> Moments:
        """Return the moments of all sets together."""
        return self.merge(np.zeros(len(self.n), np.int64), 1)


def sketch_moments(sketches: pa.Table, kind: Literal["raw", "scaled"]) -> Moments:
    """Read the moments out of sketches of layers of one kernel size of at most 49 taps."""
    found = Sketches.from_table(sketches)
    mean, scatter = (found.raw_mean, found.raw_scatter) if kind == "raw" else (found.scaled_mean, found.scaled_scatter)
    if mean is None or scatter is None:
        raise ValueError("kernels of more than 49 taps have no moments")
    return Moments(n=found.n_finite.astype(np.float64), mean=mean, scatter=unpack_symmetric(scatter))
