"""Shift of the statistics of trained 3x3 kernels between two datasets, from merged sketches."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
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
from filtercrawl_analysis.statistics.components.pca import explained_variance_along, principal_components
from filtercrawl_analysis.statistics.drift.divergence import paired_drift, probabilities

KERNEL: Final = "3x3"
_SIZE: Final = (3, 3)
# Sketches per batch; one of 3x3 kernels takes about 10 kB.
_BATCH_ROWS: Final = 512
# The stubs of pyarrow refuse columns in most of its functions.
_pc: Final[Any] = pyarrow.compute


@dataclass(frozen=True, kw_only=True)
class TrainedKernelStats:
    """Merged sketches of a set of layers.

    Attributes:
        moments: Of the scaled kernels.
        counts: Histogram of the coefficients in the fixed basis, int64 [9, 70].
        layers: Number of merged sketches.
        versions: Versions of the sketches' definition.
        n_missing: Number of layers without a sketch.
    """

    moments: Moments
    counts: Array
    layers: int
    versions: frozenset[int]
    n_missing: int


@dataclass(frozen=True, kw_only=True)
class StatisticsShift:
    """How the statistics of trained kernels differ; None for what needs both datasets and has only one.

    Attributes:
        before: Shares of the variance along the nine principal components, largest first.
        after: The same of the second dataset.
        drift: Drift D between both in the fixed basis.
        kernels: Number of kernels in each dataset.
        layers: Number of layers with a sketch in each dataset.
        n_missing: Number of layers without a sketch in each dataset.
    """

    before: list[float] | None
    after: list[float] | None
    drift: float | None
    kernels: tuple[int, int]
    layers: tuple[int, int]
    n_missing: tuple[int, int]

    @property
    def max_share_change(self) -> float | None:
        """The largest change of a share of variance."""
        if self.before is None or self.after is None:
            return None
        return max(abs(b - a) for a, b in zip(self.before, self.after, strict=True))

    @property
    def max_share_component(self) -> int | None:
        """Index of the principal component whose share changed most."""
        if self.before is None or self.after is None:
            return None
        changes = [abs(b - a) for a, b in zip(self.before, self.after, strict=True)]
        return changes.index(max(changes))

    def to_dict(self) -> dict[str, Any]:
        """Return the part `movement` of changes.json."""
        sides = ("before", "after")
        return {
            "kernel": KERNEL,
            "kernels": dict(zip(sides, self.kernels, strict=True)),
            "layers": dict(zip(sides, self.layers, strict=True)),
            "layers_without_sketch": dict(zip(sides, self.n_missing, strict=True)),
            "explained_variance": {"before": self.before, "after": self.after, "moved": self.max_share_change},
            "drift": self.drift,
        }


@dataclass(frozen=True)
class _BatchSums:
    """Sums of the chosen sketches of one batch."""

    moments: Moments
    counts: Array
    versions: frozenset[int]

    @classmethod
    def of(cls, sketches: pa.Table) -> _BatchSums:
        histogram = Sketches.from_table(sketches).histogram
        assert histogram is not None  # sketches of nine taps have one
        versions = frozenset(sketches["version"].to_pylist())
        return cls(sketch_moments(sketches, "scaled").total(), histogram.sum(0), versions)


class StatisticsOfParts:
    """Merges the sketches of some layers; of a part that two datasets have alike only once.

    Memory: one batch of sketches, and the sums of each batch of such parts.
    """

    def __init__(self, unchanged: Collection[str]) -> None:
        """Begin.

        Args:
            unchanged: Paths of files of `sketches` that are the same in all folders.
        """
        self._unchanged = unchanged
        self._known: dict[tuple[str, bytes], list[_BatchSums]] = {}

    def of(self, folder: Path, layers: set[str]) -> TrainedKernelStats | None:
        """Merge the sketches of a dataset.

        Args:
            folder: The dataset folder.
            layers: SHA-256 of the layers; each is merged once.

        Returns:
            The merged sketches; None if there are none.

        Raises:
            DatasetError: The sketches cannot be read.
        """
        missing = set(layers)
        merged: Moments | None = None
        counts, versions = np.zeros((9, BINS)), set[int]()
        dataset = DatasetFolder(folder)
        for path in dataset.table_paths("sketches"):
            for sums in self._sums(dataset, path, _first_rows(dataset, path, missing)):
                merged = sums.moments if merged is None else _merge(merged, sums.moments)
                counts += sums.counts
                versions |= sums.versions
        if merged is None:
            return None
        return TrainedKernelStats(
            moments=merged,
            counts=counts,
            layers=len(layers) - len(missing),
            versions=frozenset(versions),
            n_missing=len(missing),
        )

    def _sums(self, dataset: DatasetFolder, path: Path, chosen: Array) -> Iterable[_BatchSums]:
        """Return the sums of the chosen rows of a part, batch by batch."""
        name = path.relative_to(dataset.path).as_posix()
        if name not in self._unchanged:
            return _batch_sums(dataset, path, chosen)
        key = name, hashlib.sha256(chosen.tobytes()).digest()
        if key not in self._known:
            self._known[key] = list(_batch_sums(dataset, path, chosen))
        return self._known[key]


def _first_rows(dataset: DatasetFolder, path: Path, missing: set[str]) -> Array:
    """Return the numbers of the rows with the first sketch of each missing layer, int64, which is missing no more."""
    rows, first = [], 0
    for batch in dataset.batches_of(path, "sketches", ["layer_sha256", "kernel"]):
        digests = batch["layer_sha256"].to_pylist()
        for row in _pc.indices_nonzero(_pc.equal(batch["kernel"], KERNEL)).to_pylist():
            if digests[row] in missing:  # a layer that several sources have has a sketch in several files
                missing.remove(digests[row])
                rows.append(first + row)
        first += len(batch)
    return np.array(rows, np.int64)


def _batch_sums(dataset: DatasetFolder, path: Path, chosen: Array) -> Iterator[_BatchSums]:
    if not len(chosen):
        return
    first = 0
    for batch in dataset.batches_of(path, "sketches", size=_BATCH_ROWS):
        rows = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, first + len(batch))] - first
        first += len(batch)
        if len(rows):
            yield _BatchSums.of(pa.Table.from_batches([batch.take(pa.array(rows))]))


def statistics_shift(before: TrainedKernelStats | None, after: TrainedKernelStats | None) -> StatisticsShift | None:
    """Compare the statistics of two datasets; None if neither has sketches.

    Explained variance: principal components of the scaled kernels, as CNN Filter DB takes them (arXiv 2203.15331), from
    the merged scatter. Drift: D of the same paper between the histograms of the coefficients in the fixed basis,
    weighted by the shares of the variance of both datasets together along it.
    """
    if before is None and after is None:
        return None
    return StatisticsShift(
        before=_shares(before),
        after=_shares(after),
        drift=_drift(before, after),
        kernels=(_n_kernels(before), _n_kernels(after)),
        layers=(before.layers if before else 0, after.layers if after else 0),
        n_missing=(before.n_missing if before else 0, after.n_missing if after else 0),
    )


def _merge(a: Moments, b: Moments) -> Moments:
    return Moments(
        n=np.concatenate([a.n, b.n]),
        mean=np.concatenate([a.mean, b.mean]),
        scatter=np.concatenate([a.scatter, b.scatter]),
    ).total()


def _shares(statistics: TrainedKernelStats | None) -> list[float] | None:
    components = principal_components(statistics.moments) if statistics is not None else None
    return None if components is None else [float(share) for share in components.explained_variance]


def _drift(before: TrainedKernelStats | None, after: TrainedKernelStats | None) -> float | None:
    if before is None or after is None or before.versions != after.versions:
        return None  # histograms of different definitions cannot be compared
    shares = explained_variance_along(_merge(before.moments, after.moments), dct_basis(_SIZE))
    if shares is None or not (before.counts.any() and after.counts.any()):
        return None
    low, high = histogram_range(9)
    p, q = (probabilities(statistics.counts, (high - low) / BINS) for statistics in (before, after))
    return max(0.0, float(paired_drift(p, q, shares)))


def _n_kernels(statistics: TrainedKernelStats | None) -> int:
    return 0 if statistics is None else int(statistics.moments.n[0])
