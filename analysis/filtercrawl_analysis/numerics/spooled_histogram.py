"""Histograms over the kernels' own range with one look at the kernels: what the second pass needs is kept in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.streaming import Kernels, Matrix, Projector, bin_counts, scaled_chunks


@dataclass(frozen=True, kw_only=True)
class GroupHistograms:
    """low, high: the smallest and the largest coefficient of all; counts: int64 [groups, components, bins]."""

    low: float
    high: float
    counts: NDArray[np.int64]


def histograms(
    parts: Iterable[tuple[int, Kernels]],
    basis: Matrix,
    mean: Matrix | None,
    bins: int,
    groups: int,
    *,
    device: str = "cpu",
) -> GroupHistograms | None:
    """Count coefficients as `passes.span` and `passes.histogram` do, group by group; None where there is no kernel.

    parts: the group, from 0, and kernels [k, taps]. They are read once: reading a dataset takes most of the time, and
    the scaled kernels in float16, 18 bytes of 3x3, come back from a temporary file ten times as fast.
    """
    project = Projector(basis, mean, device)
    low, high = float("inf"), float("-inf")
    kept: list[tuple[int, int]] = []
    with tempfile.TemporaryFile(prefix="filtercrawl-") as file:
        for group, part in parts:
            for chunk in scaled_chunks((part,), device):
                least, most = torch.aminmax(project(chunk))
                low, high = min(low, float(least)), max(high, float(most))
                file.write(chunk.contiguous().cpu().numpy().data)
                kept.append((group, chunk.shape[1]))
        if not kept:
            return None
        file.seek(0)
        counts = torch.zeros(groups, len(basis) * bins, dtype=torch.int64, device=device)
        taps = basis.shape[1]
        for group, k in kept:
            numbers = bytearray(file.read(2 * taps * k))
            chunk = torch.frombuffer(numbers, dtype=torch.float16).view(taps, k).to(device)
            counts[group] += bin_counts(project(chunk), low, high, bins)
    return GroupHistograms(low=low, high=high, counts=counts.view(groups, len(basis), bins).cpu().numpy())
