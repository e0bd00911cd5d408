"""Sketches of many layers as arrays, and the sketches of groups of them: no kernel is read again."""

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
# Numbers of a block of layers while their matrices are merged: at most 32 MiB.
_BLOCK: Final = 4_194_304


@dataclass(frozen=True, kw_only=True)
class Sketches:
    """Sketches of L layers, or groups, of one kernel size; columns of SKETCHES, by row.

    Shapes: counts and norms [L], power_sums [L, 5], radial_energy [L, bins], means [L, taps], scatters packed
    [L, taps (taps + 1) / 2], histogram [L, taps, 70]. Means, scatters and histogram are None above 49 taps. The kernels
    of a row with n_finite 0 have means of 0, which weigh nothing.
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
        """Take rows of SKETCHES; raises ValueError unless there are any and all have one kernel size."""
        if len(set(table["kernel"].to_pylist())) != 1:
            raise ValueError("sketches of several kernel sizes, or of none, have no common arrays")
        taps = table["taps"][0].as_py()
        columns: dict[str, Any] = {field.name: _array(table[field.name]) for field in fields(cls)}
        if taps > MAX_TAPS:
            for name in (*_MATRICES, *_MATRICES.values(), "histogram"):
                columns[name] = None
        else:
            columns["histogram"] = columns["histogram"].reshape(-1, taps, BINS)
        return cls(**columns)

    def take(self, rows: NDArray[Any]) -> Self:
        """Return these rows, by index or mask."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen: dict[str, Any] = {name: None if array is None else array[rows] for name, array in columns.items()}
        return type(self)(**chosen)


# Which mean belongs to which scatter.
_MATRICES: Final = {"raw_mean": "raw_scatter", "scaled_mean": "scaled_scatter"}


def merge_sketches(sketches: Sketches, groups: NDArray[Any] | None = None, n_groups: int | None = None) -> Sketches:
    """Return the sketches of groups of layers, a row a group, as if their kernels were of one layer.

    groups: the group of each row, whole numbers [L] from 0, rows below 0 are left out; by default all are one group.
    n_groups: how many there are, at least; groups without a layer have n_finite 0. n_dead stays the number of
    kernels that are dead within their own layers.
    """
    places = np.zeros(len(sketches), np.int64) if groups is None else np.asarray(groups, np.int64)
    if places.shape != (len(sketches),):
        raise ValueError(f"groups of shape {places.shape} for {len(sketches)} sketches")
    number = max(n_groups or 0, 1 if groups is None else int(places.max(initial=-1)) + 1)
    if (places < 0).any():
        sketches, places = sketches.take(places >= 0), places[places >= 0]
    sums: dict[str, Any] = {
        name: _summed(getattr(sketches, name), places, number)
        for name in ("n_kernels", "n_finite", "n_dead", "n_zero", "norm_l1", "power_sums", "radial_energy")
    }
    sums["max_abs"] = np.zeros(number)
    np.maximum.at(sums["max_abs"], places, sketches.max_abs)
    histogram = sketches.histogram
    sums["histogram"] = None if histogram is None else _summed(histogram, places, number)
    for mean, scatter in _MATRICES.items():
        means, scatters = getattr(sketches, mean), getattr(sketches, scatter)
        known = means is not None and scatters is not None
        merged = merge_moments(sketches.n_finite, means, scatters, places, number) if known else (None, None)
        sums[mean], sums[scatter] = merged
    return Sketches(**sums)


def merge_moments(n: NDArray[Any], means: Floats, scatters: Floats, groups: Ints, number: int) -> tuple[Floats, Floats]:
    """Return means [number, taps] and packed scatters of groups of sets of n [s] kernels each.

    groups: the group of each set, [s], from 0. The scatter of a group is the sum of those of its sets and of that of
    their means around the group's: nothing is subtracted that is not a deviation (Chan, Golub and LeVeque 1979).
    """
    weights = n[:, None].astype(np.float64)
    totals = np.maximum(_summed(weights, groups, number), 1)
    # Around the mean of the means first: sums of numbers that are far from zero lose their last digits.
    centre = means.mean(0) if len(means) else np.zeros(means.shape[1])
    mean = _summed((means - centre) * weights, groups, number) / totals
    away = means - centre - mean[groups]
    rows, columns = np.triu_indices(means.shape[1])
    scatter = np.zeros((number, len(rows)))
    step = max(1, _BLOCK // len(rows))
    for start in range(0, len(means), step):
        here = slice(start, start + step)
        between = away[here, rows] * away[here, columns] * weights[here]
        scatter += _summed(scatters[here] + between, groups[here], number)
    mean += np.where(_summed(weights, groups, number) > 0, centre, 0)
    return mean, scatter


def pack_symmetric(full: Floats) -> Floats:
    """Undo `unpack`."""
    packed: Floats = full[..., *np.triu_indices(full.shape[-1])]
    return packed


def unpack_symmetric(packed: Floats) -> Floats:
    """Return symmetric matrices [..., taps, taps] from their packed upper triangles [..., taps (taps + 1) / 2]."""
    taps = (math.isqrt(8 * packed.shape[-1] + 1) - 1) // 2
    full = np.empty((*packed.shape[:-1], taps, taps))
    rows, columns = np.triu_indices(taps)
    full[..., rows, columns] = packed
    full[..., columns, rows] = packed
    return full


def _summed(values: NDArray[Any], groups: Ints, number: int) -> Any:
    """Sum rows by group, [number, ...]."""
    out = np.zeros((number, *values.shape[1:]), values.dtype)
    if not len(values):
        return out
    if number == 1:
        out[0] = values.sum(0)
        return out
    order = np.argsort(groups, kind="stable")
    ranked = groups[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    out[ranked[starts]] = np.add.reduceat(values[order], starts, axis=0)
    return out


def _array(column: pa.ChunkedArray[Any]) -> Any:
    """Turn a column into an array; lists, all of one length, into rows."""
    if not pa.types.is_list(column.type):
        return column.to_numpy()
    if column.null_count:
        return None
    lists = column.combine_chunks()
    numbers = lists.flatten().to_numpy()
    return numbers.reshape(len(column), -1)
