"""Sketches of many layers as arrays, and their exact merge into sketches of groups, without reading a kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.dct_basis import BINS, MAX_TAPS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Matrix elements per block of layers while scatter matrices are merged: at most 32 MiB.
_BLOCK: Final = 4_194_304


@dataclass(frozen=True, kw_only=True)
class Sketches:
    """Sketches of L layers, or groups of layers, of one kernel size: the columns of the schema SKETCHES as arrays.

    Means, scatter matrices and the histogram are None above 49 taps. Rows with `n_finite` 0 have means of 0, which
    carry no weight.

    Attributes:
        n_kernels: Number of kernels [L].
        n_finite: Kernels without NaN and infinities [L].
        n_dead: Dead kernels [L], each judged within its own layer.
        n_zero: Kernels of zeros [L].
        max_abs: Largest magnitude of a finite weight [L].
        norm_l1: Sum of |w| over finite weights [L].
        power_sums: Number of finite weights and the sums of their first four powers [L, 5].
        radial_energy: Energy by radial frequency bin [L, bins].
        raw_mean: Mean of the kernels as stored [L, taps].
        raw_scatter: Their scatter matrix, upper triangle [L, taps (taps + 1) / 2].
        scaled_mean: Mean of the scaled kernels [L, taps].
        scaled_scatter: Their scatter matrix, upper triangle [L, taps (taps + 1) / 2].
        histogram: Counts of DCT coefficients of scaled kernels [L, taps, 70].
    """

    n_kernels: Ints
    n_finite: Ints
    n_dead: Ints
    n_zero: Ints
    max_abs: Floats
    norm_l1: Floats
    power_sums: Floats
    radial_energy: Floats
    raw_mean: Floats | None
    raw_scatter: Floats | None
    scaled_mean: Floats | None
    scaled_scatter: Floats | None
    histogram: Ints | None

    def __len__(self) -> int:
        return len(self.n_kernels)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Read rows of the schema SKETCHES.

        Raises:
            ValueError: There are no rows, or they have more than one kernel size.
        """
        if len(set(table["kernel"].to_pylist())) != 1:
            raise ValueError("sketches of several kernel sizes, or of none, have no common arrays")
        taps = table["taps"][0].as_py()
        columns: dict[str, Any] = {field.name: _to_array(table[field.name]) for field in fields(cls)}
        if taps > MAX_TAPS:
            for name in (*_SCATTER_OF_MEAN, *_SCATTER_OF_MEAN.values(), "histogram"):
                columns[name] = None
        else:
            columns["histogram"] = columns["histogram"].reshape(-1, taps, BINS)
        return cls(**columns)

    def take(self, rows: NDArray[Any]) -> Self:
        """Return the rows with these indices, or where this mask is true."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: dict[str, Any] = {name: None if array is None else array[rows] for name, array in columns.items()}
        return type(self)(**taken)


_SCATTER_OF_MEAN: Final = {"raw_mean": "raw_scatter", "scaled_mean": "scaled_scatter"}


def merge_sketches(sketches: Sketches, groups: NDArray[Any] | None = None, n_groups: int | None = None) -> Sketches:
    """Return the sketches of groups of layers, as if the kernels of each group were those of one layer.

    `n_dead` is an exception: it stays the number of kernels that are dead within their own layers.

    Args:
        sketches: Sketches of L layers.
        groups: The group of each row, integers [L] from 0; rows below 0 are left out. By default, one group of all.
        n_groups: The least number of groups to return. Groups without a layer have `n_finite` 0.

    Returns:
        One row per group.

    Raises:
        ValueError: `groups` has another length than `sketches`.
    """
    codes = np.zeros(len(sketches), np.int64) if groups is None else np.asarray(groups, np.int64)
    if codes.shape != (len(sketches),):
        raise ValueError(f"groups of shape {codes.shape} for {len(sketches)} sketches")
    count = max(n_groups or 0, 1 if groups is None else int(codes.max(initial=-1)) + 1)
    if (codes < 0).any():
        sketches, codes = sketches.take(codes >= 0), codes[codes >= 0]
    merged: dict[str, Any] = {
        name: _sum_by_group(getattr(sketches, name), codes, count)
        for name in ("n_kernels", "n_finite", "n_dead", "n_zero", "norm_l1", "power_sums", "radial_energy")
    }
    merged["max_abs"] = np.zeros(count)
    np.maximum.at(merged["max_abs"], codes, sketches.max_abs)
    histogram = sketches.histogram
    merged["histogram"] = None if histogram is None else _sum_by_group(histogram, codes, count)
    for mean, scatter in _SCATTER_OF_MEAN.items():
        means, scatters = getattr(sketches, mean), getattr(sketches, scatter)
        if means is None or scatters is None:
            merged[mean] = merged[scatter] = None
        else:
            merged[mean], merged[scatter] = merge_moments(sketches.n_finite, means, scatters, codes, count)
    return Sketches(**merged)


def merge_moments(n: NDArray[Any], means: Floats, scatters: Floats, groups: Ints, count: int) -> tuple[Floats, Floats]:
    """Return means and scatter matrices of groups of sets of kernels.

    The scatter of a group is the sum of the scatters of its sets and of the scatter of their means around the group's
    mean, so that only deviations are squared (Chan, Golub and LeVeque 1979).

    Args:
        n: Kernels of each set [S].
        means: Mean of each set [S, taps].
        scatters: Scatter matrix of each set, upper triangle [S, taps (taps + 1) / 2].
        groups: Group of each set [S], from 0.
        count: Number of groups.

    Returns:
        Means [count, taps] and upper triangles of scatter matrices [count, taps (taps + 1) / 2].
    """
    weights = n[:, None].astype(np.float64)
    totals = np.maximum(_sum_by_group(weights, groups, count), 1)
    # Center on the mean of the means first: sums of numbers that are far from zero lose their last digits.
    center = means.mean(0) if len(means) else np.zeros(means.shape[1])
    mean = _sum_by_group((means - center) * weights, groups, count) / totals
    deviation = means - center - mean[groups]
    rows, columns = np.triu_indices(means.shape[1])
    scatter = np.zeros((count, len(rows)))
    step = max(1, _BLOCK // len(rows))
    for start in range(0, len(means), step):
        block = slice(start, start + step)
        between = deviation[block, rows] * deviation[block, columns] * weights[block]
        scatter += _sum_by_group(scatters[block] + between, groups[block], count)
    mean += np.where(_sum_by_group(weights, groups, count) > 0, center, 0)
    return mean, scatter


def pack_symmetric(full: Floats) -> Floats:
    """Return the upper triangles [..., taps (taps + 1) / 2] of symmetric matrices [..., taps, taps], row by row."""
    packed: Floats = full[..., *np.triu_indices(full.shape[-1])]
    return packed


def unpack_symmetric(packed: Floats) -> Floats:
    """Return symmetric matrices [..., taps, taps] from their upper triangles [..., taps (taps + 1) / 2]."""
    taps = (math.isqrt(8 * packed.shape[-1] + 1) - 1) // 2
    full = np.empty((*packed.shape[:-1], taps, taps))
    rows, columns = np.triu_indices(taps)
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full


def _sum_by_group(values: NDArray[Any], groups: Ints, count: int) -> Any:
    """Return the sums of rows by group, [count, ...]."""
    out = np.zeros((count, *values.shape[1:]), values.dtype)
    if not len(values):
        return out
    if count == 1:
        out[0] = values.sum(0)
        return out
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    out[ordered[starts]] = np.add.reduceat(values[order], starts, axis=0)
    return out


def _to_array(column: pa.ChunkedArray[Any]) -> Any:
    """Convert a column to an array; lists, all of one length, become rows. None for lists of which any is null."""
    if not pa.types.is_list(column.type):
        return column.to_numpy()
    if column.null_count:
        return None
    lists = column.combine_chunks()
    values = lists.flatten().to_numpy()
    return values.reshape(len(column), -1)
