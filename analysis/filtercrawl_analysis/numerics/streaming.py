"""Passes over kernels that stream by: covariance, span and histograms of their coefficients in any basis."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from filtercrawl_analysis.numerics.scaling import column_chunks, finite_columns, scale_kernels

Kernels = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class KernelScatter:
    """n kernels, their mean [taps] and sum (k - mean)(k - mean)^T [taps, taps], in float64."""

    n: int
    mean: Matrix
    scatter: Matrix


def kernel_scatter(parts: Iterable[Kernels], *, device: str = "cpu") -> KernelScatter:
    """Return the scatter of kernels [k, taps], each scaled as CNN Filter DB does; raises ValueError for no part.

    Kernels with NaN or infinities are left out, here and in the other passes. Chunks are merged as by Chan, Golub and
    LeVeque (1979), each around its own mean.
    """
    n, mean, total = 0, None, None
    for chunk in scaled_chunks(parts, device):
        wide = chunk.double()
        here, k = wide.mean(1), wide.shape[1]
        wide -= here[:, None]
        gram = wide @ wide.T
        if mean is None or total is None:
            n, mean, total = k, here, gram
        else:
            between = here - mean
            total += gram.addr_(between, between, alpha=n * k / (n + k))
            mean += between * (k / (n + k))
            n += k
    if mean is None or total is None:
        raise ValueError("no kernel without NaN and infinities")
    return KernelScatter(n=n, mean=mean.cpu().numpy(), scatter=total.cpu().numpy())


def coefficient_range(
    parts: Iterable[Kernels], basis: Matrix, mean: Matrix | None = None, *, device: str = "cpu"
) -> tuple[float, float]:
    """Return the smallest and the largest coefficient basis @ (scaled kernel - mean) of all components and kernels.

    basis: rows are components, float64 [c, taps]. Coefficients are float32. (inf, -inf) where there are no kernels.
    """
    low, high = float("inf"), float("-inf")
    for coefficients in _projected(parts, basis, mean, device):
        least, most = torch.aminmax(coefficients)
        low, high = min(low, float(least)), max(high, float(most))
    return low, high


def coefficient_histogram(
    parts: Iterable[Kernels],
    basis: Matrix,
    mean: Matrix | None,
    low: float,
    high: float,
    bins: int,
    *,
    device: str = "cpu",
) -> NDArray[np.int64]:
    """Count the coefficients of `span` in `bins` equal bins over [low, high], int64 [c, bins].

    A bin holds its lower edge, the last one its upper edge too; what lies outside is counted at the ends.
    """
    counts = torch.zeros(len(basis) * bins, dtype=torch.int64, device=device)
    for coefficients in _projected(parts, basis, mean, device):
        counts += bin_counts(coefficients, low, high, bins)
    return counts.view(len(basis), bins).cpu().numpy()


def bin_counts(coefficients: torch.Tensor, low: float, high: float, bins: int) -> torch.Tensor:
    """Count coefficients [c, n] in `bins` equal bins over [low, high], as int64 [c * bins]; changes them."""
    components = len(coefficients)
    width = (high - low) / bins or 1.0
    # One float for all: rows of bins lie behind one another, so that one count serves every component.
    coefficients.sub_(low).div_(width).clamp_(0, bins - 0.5)
    places = coefficients.to(torch.int32)
    places += torch.arange(0, components * bins, bins, dtype=torch.int32, device=places.device)[:, None]
    return torch.bincount(places.view(-1), minlength=components * bins)


def scaled_chunks(parts: Iterable[Kernels], device: str = "cpu") -> Iterator[torch.Tensor]:
    """Yield the finite kernels of all parts [k, taps], scaled, as columns: float16 [taps, n]."""
    for part in parts:
        if not len(part):
            continue
        for chunk in column_chunks(from_dlpack(part).to(device)):
            kernels, peaks, top = finite_columns(chunk)
            if len(peaks):
                yield scale_kernels(kernels, peaks, top)


class Projector:
    """Turns scaled kernels, columns [taps, n], into coefficients basis @ (kernel - mean), float32 [components, n]."""

    def __init__(self, basis: Matrix, mean: Matrix | None, device: str = "cpu") -> None:
        self._rows = torch.from_numpy(basis).to(device, torch.float32)
        self._shift = None if mean is None else torch.from_numpy(basis @ mean).to(device, torch.float32)[:, None]

    def __call__(self, chunk: torch.Tensor) -> torch.Tensor:
        coefficients = self._rows @ chunk.float()
        return coefficients if self._shift is None else coefficients.sub_(self._shift)


def _projected(parts: Iterable[Kernels], basis: Matrix, mean: Matrix | None, device: str) -> Iterator[torch.Tensor]:
    project = Projector(basis, mean, device)
    for chunk in scaled_chunks(parts, device):
        yield project(chunk)


@dataclass(frozen=True, kw_only=True)
class GroupHistograms:
    """low, high: the smallest and the largest coefficient of all; counts: int64 [groups, components, bins]."""

    low: float
    high: float
    counts: NDArray[np.int64]


def grouped_histograms(
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
