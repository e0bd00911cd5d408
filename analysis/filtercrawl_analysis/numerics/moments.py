"""First and second moments of many sets of kernels as arrays, and exact moments of their unions."""

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
    """Moments of S sets of kernels, such as layers or groups of layers.

    Attributes:
        n: Number of kernels, float64 [S].
        mean: Mean kernels, float64 [S, taps].
        scatter: Sums of (k - mean)(k - mean)^T, float64 [S, taps, taps].
    """

    n: Array
    mean: Array
    scatter: Array

    def second_moment(self) -> Array:
        """Return the uncentered second moment, sum of k k^T over the kernels of each set, [S, taps, taps]."""
        return self.scatter + self.n[:, None, None] * self.mean[:, :, None] * self.mean[:, None, :]

    def merge(self, groups: NDArray[np.int64], count: int) -> Moments:
        """Return the moments of unions of sets.

        Args:
            groups: The group of each set, int64 [S], from 0.
            count: Number of groups.
        """
        mean, scatter = merge_moments(self.n, self.mean, pack_symmetric(self.scatter), groups, count)
        n = np.bincount(groups, self.n, count).astype(np.float64)
        return Moments(n=n, mean=mean, scatter=unpack_symmetric(scatter))

    def total(self) -> Moments:
        """Return the moments of all sets together, a single set."""
        return self.merge(np.zeros(len(self.n), np.int64), 1)


def sketch_moments(sketches: pa.Table, kind: Literal["raw", "scaled"]) -> Moments:
    """Return the moments that sketches hold, one set per layer.

    Args:
        sketches: Rows of the schema SKETCHES, all of one kernel size of at most 49 taps.
        kind: Of the kernels as stored, or scaled to a largest magnitude of 1.

    Raises:
        ValueError: The kernels have more than 49 taps, or more than one size.
    """
    arrays = Sketches.from_table(sketches)
    mean, scatter = (
        (arrays.raw_mean, arrays.raw_scatter) if kind == "raw" else (arrays.scaled_mean, arrays.scaled_scatter)
    )
    if mean is None or scatter is None:
        raise ValueError("kernels of more than 49 taps have no moments")
    return Moments(n=arrays.n_finite.astype(np.float64), mean=mean, scatter=unpack_symmetric(scatter))
