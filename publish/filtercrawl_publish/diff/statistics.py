"""How far the trained 3x3 kernels of two datasets lie apart: explained variance and drift, from merged sketches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute

from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl_analysis.numerics.dct_basis import BINS, dct_basis, histogram_range
from filtercrawl_analysis.numerics.merge import Sketches
from filtercrawl_analysis.numerics.moments import Array, Moments, sketch_moments
from filtercrawl_analysis.statistics.divergence import paired_drift, probabilities
from filtercrawl_analysis.statistics.pca import explained_variance_along, principal_components

KERNEL: Final = "3x3"
_SIZE: Final = (3, 3)
# Sketches looked at together: one of 3x3 kernels takes about 10 kB.
_BATCH_ROWS: Final = 512
# The stubs of pyarrow refuse columns in most of its functions.
_pc: Final[Any] = pyarrow.compute


@dataclass(frozen=True, kw_only=True)
class TrainedKernelStats:
    """The sketches of some layers as one. counts: of coefficients, int64 [9, 70]; layers: how many are merged.

    versions: of the sketches; without: layers that have no sketch.
    """

    whole: Moments
    counts: Array
    layers: int
    versions: frozenset[int]
    without: int


@dataclass(frozen=True, kw_only=True)
class StatisticsShift:
    """before, after: the shares of the variance along the nine principal components of each side, largest first.

    drift: D between both in the fixed basis; kernels, layers: of each side; without: its layers that have no sketch.
    None is what one side alone leaves undefined.
    """

    before: list[float] | None
    after: list[float] | None
    drift: float | None
    kernels: tuple[int, int]
    layers: tuple[int, int]
    without: tuple[int, int]

    @property
    def max_share_change(self) -> float | None:
        """The largest change of a share."""
        if self.before is None or self.after is None:
            return None
        return max(abs(b - a) for a, b in zip(self.before, self.after, strict=True))

    def as_json(self) -> dict[str, Any]:
        sides = ("before", "after")
        return {
            "kernel": KERNEL,
            "kernels": dict(zip(sides, self.kernels, strict=True)),
            "layers": dict(zip(sides, self.layers, strict=True)),
            "layers_without_sketch": dict(zip(sides, self.without, strict=True)),
            "explained_variance": {"before": self.before, "after": self.after, "moved": self.max_share_change},
            "drift": self.drift,
        }


def trained_kernel_stats(folder: Path, layers: set[str]) -> TrainedKernelStats | None:
    """Merge the sketches of these layer_sha256, each once; None where there is none. Memory: a batch of sketches.

    Raises DatasetError where they cannot be read.
    """
    left = set(layers)
    whole: Moments | None = None
    counts, versions = np.zeros((9, BINS)), set()
    for table in _batches(folder):
        rows = []
        for row, digest in enumerate(table["layer_sha256"].to_pylist()):
            if digest in left:  # once: the sketch of a layer that several sources have is in several files
                left.remove(digest)
                rows.append(row)
        if not rows:
            continue
        chosen = table.take(pa.array(rows, pa.int64()))
        versions |= set(chosen["version"].to_pylist())
        found = sketch_moments(chosen, "scaled").total()
        whole = found if whole is None else _both(whole, found)
        histogram = Sketches.from_table(chosen).histogram
        assert histogram is not None  # nine taps have one
        counts += histogram.sum(0)
    if whole is None:
        return None
    done = len(layers) - len(left)
    return TrainedKernelStats(whole=whole, counts=counts, layers=done, versions=frozenset(versions), without=len(left))


def statistics_shift(before: TrainedKernelStats | None, after: TrainedKernelStats | None) -> StatisticsShift | None:
    """Compare two sides; None where neither has a sketch.

    Explained variance: principal components of the scaled kernels, as CNN Filter DB takes them (arXiv 2203.15331), from
    the merged scatter. Drift: its D between the histograms of the coefficients in the fixed basis, weighted by the
    shares of the variance of both sides together along it.
    """
    if before is None and after is None:
        return None
    return StatisticsShift(
        before=_shares(before),
        after=_shares(after),
        drift=_drift(before, after),
        kernels=(_number(before), _number(after)),
        layers=(before.layers if before else 0, after.layers if after else 0),
        without=(before.without if before else 0, after.without if after else 0),
    )


def _batches(folder: Path) -> Iterator[pa.Table]:
    for batch in DatasetFolder(folder).batches("sketches", size=_BATCH_ROWS):
        table = pa.Table.from_batches([batch])
        table = table.filter(_pc.equal(table["kernel"], KERNEL))
        if table.num_rows:
            yield table


def _both(a: Moments, b: Moments) -> Moments:
    return Moments(
        n=np.concatenate([a.n, b.n]),
        mean=np.concatenate([a.mean, b.mean]),
        scatter=np.concatenate([a.scatter, b.scatter]),
    ).total()


def _shares(side: TrainedKernelStats | None) -> list[float] | None:
    found = principal_components(side.whole) if side is not None else None
    return None if found is None else [float(share) for share in found.explained_variance]


def _drift(before: TrainedKernelStats | None, after: TrainedKernelStats | None) -> float | None:
    if before is None or after is None or before.versions != after.versions:
        return None  # counts of other definitions cannot be compared
    shares = explained_variance_along(_both(before.whole, after.whole), dct_basis(_SIZE))
    if shares is None or not (before.counts.any() and after.counts.any()):
        return None
    low, high = histogram_range(9)
    p, q = (probabilities(side.counts, (high - low) / BINS) for side in (before, after))
    return max(0.0, float(paired_drift(p, q, shares)))


def _number(side: TrainedKernelStats | None) -> int:
    return 0 if side is None else int(side.whole.n[0])
