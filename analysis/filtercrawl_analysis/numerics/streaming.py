"""Passes over kernels as they stream by: scatter matrix, range and histograms of their coefficients in any basis."""

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
    """Moments of scaled kernels.

    Attributes:
        n: Number of kernels.
        mean: Mean kernel, float64 [taps].
        scatter: Sum of (k - mean)(k - mean)^T, float64 [taps, taps].
    """

    n: int
    mean: Matrix
    scatter: Matrix


@dataclass(frozen=True, kw_only=True)
class GroupHistograms:
    """Histograms of coefficients by group, all over one range.

    Attributes:
        low: The smallest coefficient of all groups and components, the lower edge of the first bin.
        high: The largest one, the upper edge of the last bin.
        counts: int64 [groups, components, bins].
    """

    low: float
    high: float
    counts: NDArray[np.int64]


def kernel_scatter(parts: Iterable[Kernels], *, device: str = "cpu") -> KernelScatter:
    """Return the moments of kernels, scaled as in CNN Filter DB.

    Kernels with NaN or infinities are left out, here and in the other passes. Each chunk is accumulated around its own
    mean and merged with those before (Chan, Golub and LeVeque 1979).

    Args:
        parts: Kernels, float32 [k, taps] each.
        device: The torch device to compute on.

    Raises:
        ValueError: There is no finite kernel.
    """
    n, mean, total = 0, None, None
    for chunk in scaled_chunks(parts, device):
        wide = chunk.double()
        chunk_mean, k = wide.mean(1), wide.shape[1]
        wide -= chunk_mean[:, None]
        chunk_scatter = wide @ wide.T
        if mean is None or total is None:
            n, mean, total = k, chunk_mean, chunk_scatter
        else:
            delta = chunk_mean - mean
            total += chunk_scatter.addr_(delta, delta, alpha=n * k / (n + k))
            mean += delta * (k / (n + k))
            n += k
    if mean is None or total is None:
        raise ValueError("no kernel without NaN and infinities")
    return KernelScatter(n=n, mean=mean.cpu().numpy(), scatter=total.cpu().numpy())


def coefficient_range(
    parts: Iterable[Kernels], basis: Matrix, mean: Matrix | None = None, *, device: str = "cpu"
) -> tuple[float, float]:
    """Return the smallest and largest coefficient basis @ (scaled kernel - mean) of all components and kernels.

    Args:
        parts: Kernels, float32 [k, taps] each.
        basis: Components as rows, float64 [components, taps].
        mean: Subtracted from each scaled kernel, float64 [taps]. None subtracts nothing.
        device: The torch device to compute on.

    Returns:
        Both, rounded to float32. (inf, -inf) without a finite kernel.
    """
    low, high = float("inf"), float("-inf")
    for coefficients in _project_parts(parts, basis, mean, device):
        low, high = _extend_range(low, high, coefficients)
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
    """Count the coefficients basis @ (scaled kernel - mean) in equal bins.

    A bin includes its lower edge, the last bin also its upper edge. Coefficients outside of the range are counted in
    the first and last bins.

    Args:
        parts: Kernels, float32 [k, taps] each.
        basis: Components as rows, float64 [components, taps].
        mean: Subtracted from each scaled kernel, float64 [taps]. None subtracts nothing.
        low: Lower edge of the first bin.
        high: Upper edge of the last bin.
        bins: Number of bins.
        device: The torch device to compute on.

    Returns:
        Counts, int64 [components, bins].
    """
    counts = torch.zeros(len(basis) * bins, dtype=torch.int64, device=device)
    for coefficients in _project_parts(parts, basis, mean, device):
        counts += bin_counts(coefficients, low, high, bins)
    return counts.view(len(basis), bins).cpu().numpy()


def grouped_histograms(
    parts: Iterable[tuple[int, Kernels]],
    basis: Matrix,
    mean: Matrix | None,
    bins: int,
    groups: int,
    *,
    device: str = "cpu",
) -> GroupHistograms | None:
    """Count coefficients by group, over the range of the coefficients themselves.

    The same as `coefficient_range` followed by `coefficient_histogram` of each group, but kernels are read only once.
    Reading the dataset takes most of the time; the scaled kernels in float16, 18 bytes for 3x3, come back from a
    temporary file ten times as fast.

    Args:
        parts: The group of each part, from 0, and its kernels, float32 [k, taps].
        basis: Components as rows, float64 [components, taps].
        mean: Subtracted from each scaled kernel, float64 [taps]. None subtracts nothing.
        bins: Number of bins.
        groups: Number of groups.
        device: The torch device to compute on.

    Returns:
        The histograms; None without a finite kernel.
    """
    project = Projector(basis, mean, device)
    low, high = float("inf"), float("-inf")
    spooled: list[tuple[int, int]] = []
    with tempfile.TemporaryFile(prefix="filtercrawl-") as file:
        for group, part in parts:
            for chunk in scaled_chunks((part,), device):
                low, high = _extend_range(low, high, project(chunk))
                file.write(chunk.contiguous().cpu().numpy().data)
                spooled.append((group, chunk.shape[1]))
        if not spooled:
            return None
        file.seek(0)
        counts = torch.zeros(groups, len(basis) * bins, dtype=torch.int64, device=device)
        taps = basis.shape[1]
        for group, k in spooled:
            buffer = bytearray(file.read(2 * taps * k))
            chunk = torch.frombuffer(buffer, dtype=torch.float16).view(taps, k).to(device)
            counts[group] += bin_counts(project(chunk), low, high, bins)
    return GroupHistograms(low=low, high=high, counts=counts.view(groups, len(basis), bins).cpu().numpy())


def bin_counts(coefficients: torch.Tensor, low: float, high: float, bins: int) -> torch.Tensor:
    """Count coefficients in equal bins, see `coefficient_histogram`.

    Args:
        coefficients: [components, n]. Is modified.
        low: Lower edge of the first bin.
        high: Upper edge of the last bin.
        bins: Number of bins.

    Returns:
        Counts, int64 [components * bins].
    """
    components = len(coefficients)
    width = (high - low) / bins or 1.0
    # Offsetting the bin numbers of each component lets one bincount serve all of them.
    coefficients.sub_(low).div_(width).clamp_(0, bins - 0.5)
    indices = coefficients.to(torch.int32)
    indices += torch.arange(0, components * bins, bins, dtype=torch.int32, device=indices.device)[:, None]
    return torch.bincount(indices.view(-1), minlength=components * bins)


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
    """Projects scaled kernels, columns [taps, n], on a basis: basis @ (kernel - mean), float32 [components, n]."""

    def __init__(self, basis: Matrix, mean: Matrix | None, device: str = "cpu") -> None:
        self._basis = torch.from_numpy(basis).to(device, torch.float32)
        self._offset = None if mean is None else torch.from_numpy(basis @ mean).to(device, torch.float32)[:, None]

    def __call__(self, chunk: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of a chunk of columns."""
        coefficients = self._basis @ chunk.float()
        return coefficients if self._offset is None else coefficients.sub_(self._offset)


def _project_parts(parts: Iterable[Kernels], basis: Matrix, mean: Matrix | None, device: str) -> Iterator[torch.Tensor]:
    project = Projector(basis, mean, device)
    for chunk in scaled_chunks(parts, device):
        yield project(chunk)


def _extend_range(low: float, high: float, coefficients: torch.Tensor) -> tuple[float, float]:
    least, most = torch.aminmax(coefficients)
    return min(low, float(least)), max(high, float(most))
