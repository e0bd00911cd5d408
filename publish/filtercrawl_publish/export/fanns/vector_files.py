"""Files of vectors: fvecs and ivecs of TEXMEX, fbin, ibin and spmat of big-ann-benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Rows that are converted at a time.
_ROWS: Final = 1 << 16


def write_vecs(path: Path, rows: NDArray[np.float32] | NDArray[np.int32]) -> None:
    """Write fvecs or ivecs: each row with its length before it, an int32 like all numbers of ivecs."""
    with path.open("wb") as file:
        for start in range(0, len(rows), _ROWS):
            part = np.ascontiguousarray(rows[start : start + _ROWS]).view("<i4")
            np.insert(part, 0, rows.shape[1], axis=1).astype("<i4").tofile(file)


def write_bin(path: Path, rows: NDArray[Any], *more: NDArray[Any]) -> None:
    """Write fbin or ibin: the two lengths as uint32, then all numbers, and those of other arrays of the same shape."""
    with path.open("wb") as file:
        np.array(rows.shape, "<u4").tofile(file)
        for numbers in (rows, *more):
            np.ascontiguousarray(numbers).tofile(file)


def write_spmat(path: Path, columns: list[NDArray[np.int32]], width: int) -> None:
    """Write a sparse matrix of ones by the sorted columns of each row: lengths and offsets int64, columns int32."""
    offsets = np.cumsum([0, *map(len, columns)], dtype=np.int64)
    with path.open("wb") as file:
        np.array([len(columns), width, offsets[-1]], "<i8").tofile(file)
        offsets.astype("<i8").tofile(file)
        np.concatenate(columns).astype("<i4").tofile(file)
        np.ones(offsets[-1], "<f4").tofile(file)
