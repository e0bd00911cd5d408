"""Means and scatters of many layers as arrays, and those of groups of layers, merged exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of some sets of kernels each: n [s], mean [s, taps], scatter sum (k - mean)(k - mean)^T [s, taps, taps]."""

    n: Array
    mean: Array
    scatter: Array

    def energy(self) -> Array:
        """Return sum k k^T, the second moments around zero, [s, taps, taps]."""
        return self.scatter + self.n[:, None, None] * self.mean[:, :, None] * self.mean[:, None, :]

    def merged(self, groups: NDArray[np.int64], count: int) -> Moments:
        """Return the moments of the unions: groups, int64 [s], says which of `count` each set belongs to.

        Each group's scatter is the sum of those of its sets and of that of their means around the group's: nothing is
        subtracted that is not a deviation (Chan, Golub and LeVeque 1979).
        """
        n = np.bincount(groups, self.n, count).astype(np.float64)
        sums = np.zeros((count, self.mean.shape[1]))
        np.add.at(sums, groups, self.n[:, None] * self.mean)
        mean = sums / np.maximum(n, 1)[:, None]
        between = self.mean - mean[groups]
        scatter = np.zeros((count, *self.scatter.shape[1:]))
        np.add.at(scatter, groups, self.scatter + self.n[:, None, None] * between[:, :, None] * between[:, None, :])
        return Moments(n=n, mean=mean, scatter=scatter)

    def total(self) -> Moments:
        """Return the moments of all sets together."""
        return self.merged(np.zeros(len(self.n), np.int64), 1)


def moments(sketches: pa.Table, kind: Literal["raw", "scaled"], taps: int) -> Moments:
    """Read the moments out of sketches of layers of one kernel size of at most 49 taps; a layer without has n = 0."""
    known = np.array(sketches[f"{kind}_mean"].is_valid())
    n = np.where(known, np.array(sketches["n_finite"], np.float64), 0.0)
    mean, scatter = np.zeros((len(n), taps)), np.zeros((len(n), taps, taps))
    if known.any():
        rows, columns = np.triu_indices(taps)
        mean[known] = _flat(sketches, f"{kind}_mean").reshape(-1, taps)
        upper = _flat(sketches, f"{kind}_scatter").reshape(-1, len(rows))
        place = np.flatnonzero(known)[:, None]
        scatter[place, rows, columns] = upper
        scatter[place, columns, rows] = upper
    return Moments(n=n, mean=mean, scatter=scatter)


def _flat(sketches: pa.Table, name: str) -> Array:
    numbers: Array = sketches[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return numbers
