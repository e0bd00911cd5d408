"""Orientation and phase of the filters of first layers: Gabor functions fitted to their principal color kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.fits import MIN_SIZE, fit_gabor
from filtercrawl_analysis.statistics.form.null import LEVEL as FIT_LEVEL
from filtercrawl_analysis.statistics.form.null import p_values
from filtercrawl_analysis.statistics.form.rounding import rounded
from filtercrawl_analysis.statistics.form.shares import ALL, MAX_TAPS, mean_interval
from filtercrawl_analysis.statistics.groups.model_medians import adjust, sign_test, verdict
from filtercrawl_analysis.statistics.groups.resampling import random_generator

Row = dict[str, Any]
Kernels = NDArray[np.floating[Any]]

# Filters of a layer that are fitted, picked at random.
_MAX_FILTERS: Final = 64
# Standard error of an orientation, in radians, from which on it is not counted: half a cell.
MAX_ERROR: Final = math.pi / 16
# Cells of the histograms of the orientation, over half a turn, and of the phase, over a turn.
CELLS: Final = 8


@dataclass(frozen=True, kw_only=True)
class ColorKernels:
    """The best approximation of filters by one kernel for all input channels.

    Attributes:
        kernels: [filters, height, width], with the energy of the approximation.
        share: Share of the energy of each filter that it holds [filters].
    """

    kernels: Array
    share: Array


def principal_color_kernels(filters: Kernels) -> ColorKernels:
    """Approximate filters by the outer product of a color and a kernel.

    The color and the kernel are the first singular vectors of the filter as a matrix of input channels by taps; the
    sign is that in which the color's entries have a sum that is not negative, so that a bright kernel is bright.

    Args:
        filters: [filters, channels, height, width].
    """
    n, channels, height, width = filters.shape
    matrices = filters.astype(np.float64).reshape(n, channels, height * width)
    color, values, kernels = np.linalg.svd(matrices, full_matrices=False)
    sign = np.where(color[:, :, 0].sum(1) < 0, -1.0, 1.0)
    energy = (values**2).sum(1)
    share = np.divide(values[:, 0] ** 2, energy, out=np.full(n, np.nan), where=energy > 0)
    scaled = kernels[:, 0] * (sign * values[:, 0])[:, None]
    return ColorKernels(kernels=scaled.reshape(n, height, width), share=share)


@dataclass(frozen=True, kw_only=True)
class FirstLayers:
    """Gabor fits of the filters of first layers.

    Attributes:
        layers: Rows of the index of the layers that were read.
        filters: One row a filter, of the table `first_layer_filters`.
    """

    layers: pa.Table
    filters: pa.Table

    @classmethod
    def none(cls, dataset: DatasetView) -> Self:
        """Return the fits of no layers."""
        return cls(layers=dataset.index.slice(0, 0), filters=FILTERS.empty_table())


_FITTED: Final = (
    "r2", "orientation", "orientation_error", "phase", "frequency", "frequency_error", "center_x", "center_y",
    "width_along", "width_across", "amplitude", "offset",
)  # fmt: skip
FILTERS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("filter_id", "layer_id", "model_id", "kernel")),
        pa.field("out_channel", pa.int64()),
        *(pa.field(name, pa.float64()) for name in ("color_share", "r2", "p")),
        pa.field("fits", pa.bool_()),
        *(pa.field(name, pa.float64()) for name in _FITTED if name != "r2"),
        pa.field("at_bound", pa.bool_()),
        pa.field("values", pa.list_(pa.float32())),
    ]
)
HISTOGRAM: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("angle", "kernel")),
        *(pa.field(name, pa.float64()) for name in ("start", "stop", "share", "low", "high", "uniform", "p", "q")),
        pa.field("verdict", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "filters", "fitted_filters")),
    ]
)


def fit_first_layers(dataset: DatasetView) -> FirstLayers:
    """Fit Gabor functions to the filters of all first layers whose kernels have five taps or more along both axes.

    At most 64 filters of a layer are fitted, picked at random.

    Raises:
        DatasetError: A layers file is missing or cannot be read.
    """
    index = dataset.index
    sizes = index["kernel_size"].to_pylist()
    fits = [len(size) == 2 and min(size) >= MIN_SIZE and math.prod(size) <= MAX_TAPS for size in sizes]
    first = index.filter(pc.and_(pc.fill_null(index["is_first"], False), pa.array(fits, pa.bool_())))
    of_digest = {row["layer_sha256"]: row for row in first.to_pylist()}
    tables: dict[str, pa.Table] = {}
    for digest, parts in groupby(dataset.kernels(list(of_digest)), key=itemgetter(0)):
        layer = of_digest[digest]
        filters = np.concatenate([kernels for _, kernels in parts]).reshape(-1, *layer["shape"][1:])
        random = random_generator(dataset.options.seed, "first layers", digest)
        tables[digest] = _filter_rows(layer, filters, random, dataset.options.device)
        dataset.progress(len(tables), len(of_digest), "orientation of first layers")
    # The kernels come in the order of the files, the rows are in that of the index.
    ordered = [tables[digest] for digest in of_digest]
    return FirstLayers(layers=first, filters=pa.concat_tables([FILTERS.empty_table(), *ordered]))


def _filter_rows(layer: Row, filters: Kernels, random: np.random.Generator, device: str) -> pa.Table:
    live = np.flatnonzero(np.isfinite(filters).all((1, 2, 3)) & filters.any((1, 2, 3)))
    chosen = np.sort(random.permutation(live)[:_MAX_FILTERS])
    color = principal_color_kernels(filters[chosen])
    fitted = fit_gabor(color.kernels, device=device)
    p = p_values("gabor", (color.kernels.shape[1], color.kernels.shape[2]), fitted.r2)
    columns: dict[str, Any] = {name: [layer[name]] * len(chosen) for name in ("layer_id", "model_id", "kernel")}
    columns |= {name: rounded(getattr(fitted, name)) for name in _FITTED}
    columns |= {
        "filter_id": [f"{layer['layer_id']}:{out}" for out in chosen.tolist()],
        "out_channel": chosen.tolist(),
        "color_share": rounded(color.share),
        "p": rounded(p),
        "fits": [None if np.isnan(value) else value <= FIT_LEVEL for value in p.tolist()],
        "at_bound": fitted.at_bound == 1,
        "values": [kernel.ravel() for kernel in color.kernels.astype(np.float32)],
    }
    return pa.table({name: columns[name] for name in FILTERS.names}, schema=FILTERS)


def angle_histograms(first: FirstLayers) -> pa.Table:
    """Return the shares of filters in cells of the orientation, and of the phase, as means over models.

    Filters count that a Gabor function fits, for the orientation those whose orientation has a standard error below
    half a cell. Cells are centered on 0: the orientation's on multiples of 22.5 degrees, the phase's of 45.

    p is of the sign test of the shares of models against equal cells.

    Returns:
        Rows of `HISTOGRAM`, of all kernel sizes together and of each; none for sizes without a filter that counts.
    """
    filters = first.filters
    fitted = pc.fill_null(filters["fits"], False)
    certain = pc.and_(fitted, pc.fill_null(pc.less(filters["orientation_error"], MAX_ERROR), False))
    kernels = [ALL, *sorted(set(filters["kernel"].to_pylist()))]
    rows: list[Row] = []
    for angle, turn, counted in (("orientation", math.pi, certain), ("phase", 2 * math.pi, fitted)):
        for kernel in kernels if len(kernels) > 2 else kernels[1:]:
            of_kernel = pa.array([kernel in (ALL, name) for name in filters["kernel"].to_pylist()], pa.bool_())
            kept = filters.filter(pc.and_(counted, of_kernel))
            if len(kept):
                rows += _cells(
                    kept, angle, turn, {"angle": angle, "kernel": kernel, "filters": pc.sum(of_kernel).as_py()}
                )
    for row, q in zip(rows, adjust([row["p"] for row in rows]), strict=True):
        row |= {"q": q, "verdict": verdict(q, row["share"] - row["uniform"])}
    return pa.Table.from_pylist(rows, schema=HISTOGRAM)


def _cells(kept: pa.Table, angle: str, turn: float, key: Row) -> Iterator[Row]:
    width = turn / CELLS
    cell = np.floor(np.asarray(kept[angle]) / width + 0.5).astype(np.int64) % CELLS
    names, of_model = np.unique(np.asarray(kept["model_id"].to_pylist()), return_inverse=True)
    counts = np.zeros((len(names), CELLS))
    np.add.at(counts, (of_model, cell), 1)
    shares = counts / counts.sum(1, keepdims=True)
    first = 0 if angle == "orientation" else 1 - CELLS // 2
    for i in range(first, first + CELLS):
        low, high = mean_interval(shares[:, i]) or (None, None)
        yield key | {
            "start": (i - 0.5) * width,
            "stop": (i + 0.5) * width,
            "share": float(shares[:, i].mean()),
            "low": low,
            "high": high,
            "uniform": 1 / CELLS,
            "p": sign_test(shares[:, i].tolist(), 1 / CELLS),
            "models": len(names),
            "layers": len(set(kept["layer_id"].to_pylist())),
            "fitted_filters": len(kept),
        }
