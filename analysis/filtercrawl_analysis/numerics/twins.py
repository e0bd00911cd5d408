"""The nearest other row of each row by the magnitude of the cosine, exactly and with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.numerics.spectrum import double_on

# Cosines in memory at a time.
_BLOCK_NUMBERS: Final = 4 * 2**20
# Cosines that differ by less are equal, as they may in another order of summation; the first of equal rows is taken.
_EQUAL: Final = 1e-12


@dataclass(frozen=True, kw_only=True)
class Twins:
    """The nearest other row of each row.

    Attributes:
        index: Its index, int64 [rows]; -1 for a row of zeros, or without another row.
        cosine: The cosine with it, with its sign, float64 [rows]; NaN where there is none.
    """

    index: NDArray[np.int64]
    cosine: Array


def nearest_twins(rows: Array, device: str = "cpu") -> Twins:
    """Find the other row with the largest magnitude of the cosine, the first of equal ones.

    Args:
        rows: Finite numbers [rows, n].
        device: Torch device of the products.
    """
    # Scaled first, so that no square overflows or vanishes.
    peaks = np.abs(rows).max(1, initial=0.0)
    live = np.flatnonzero(peaks > 0)
    index = np.full(len(rows), -1, np.int64)
    cosine = np.full(len(rows), np.nan)
    if len(live) < 2:
        return Twins(index=index, cosine=cosine)
    unit = rows[live] / peaks[live, None]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    twin = _nearest(double_on(unit, device))
    index[live] = live[twin]
    cosine[live] = np.einsum("ij,ij->i", unit, unit[twin])
    return Twins(index=index, cosine=cosine)


def _nearest(unit: torch.Tensor) -> NDArray[np.int64]:
    n = len(unit)
    positions = torch.arange(n, device=unit.device)
    found = []
    for start in range(0, n, step := max(1, _BLOCK_NUMBERS // n)):
        block = (unit[start : start + step] @ unit.T).abs_()
        block[torch.arange(len(block), device=unit.device), positions[start : start + step]] = -1
        equal = block >= block.amax(1, keepdim=True) - _EQUAL
        found.append(torch.where(equal, positions, n).amin(1))
    nearest: NDArray[np.int64] = torch.cat(found).cpu().numpy()
    return nearest
