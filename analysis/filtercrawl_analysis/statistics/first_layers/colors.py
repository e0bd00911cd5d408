"""First layers of one or three input channels: their filters, and how much of them is color."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView

Row = dict[str, Any]

# Numbers of a first layer that is read; one of patches of 32x32 pixels and 1,024 filters has 3 million.
MAX_NUMBERS: Final = 4_194_304
# First layers that are read; the others are left out, and counted.
MAX_LAYERS: Final = 400
# The part of the energy of random weights that is color: two of three independent directions.
COLOR_OF_RANDOM: Final = 2 / 3

FIRST_LAYERS: Final = pa.schema(
    [
        ("layer_id", pa.string()), ("model_id", pa.string()), ("architecture", pa.string()), ("family", pa.string()),
        ("kernel", pa.string()), ("stride", pa.list_(pa.int32())), ("out_channels", pa.int64()),
        ("in_channels", pa.int64()), ("is_patchify", pa.bool_()), ("chromatic_share", pa.float64()),
        ("chromatic_filters", pa.int64()),
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FirstLayer:
    """A first layer.

    Attributes:
        row: Its row of the table.
        weight: float32 [filters, 1 or 3, height, width].
    """

    row: Row
    weight: NDArray[np.float32]


def select_first_layers(index: pa.Table) -> pa.Table:
    """Return the two-dimensional first layers with one or three input channels, and without groups."""
    two_dimensional = pc.equal(pc.list_value_length(index["kernel_size"]), 2)
    pictured = pc.and_(pc.is_in(index["in_channels"], pa.array([1, 3], pa.int64())), pc.equal(index["groups"], 1))
    small = pc.less_equal(pc.multiply(index["n_kernels"], index["taps"]), MAX_NUMBERS)
    spatial = pc.and_(pc.greater(index["taps"], 1), pc.equal(index["op"], "conv2d"))
    known = pc.and_(pc.and_(index["is_first"], two_dimensional), pc.and_(pc.and_(pictured, small), spatial))
    return index.filter(known)


def read_first_layers(dataset: DatasetView, layers: pa.Table) -> Iterator[FirstLayer]:
    """Yield layers with their filters, in the order of the table.

    Args:
        dataset: Gives the kernels.
        layers: Rows of `index`, as `select_first_layers` returns them.
    """
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for digest, kernels in dataset.kernels(layers["layer_sha256"].to_pylist()):
        parts.setdefault(digest, []).append(kernels)
    for row in layers.to_pylist():
        weight = np.concatenate(parts[row["layer_sha256"]]).reshape(row["shape"])
        share, n_color = chromatic_share(weight)
        known = {name: row[name] for name in FIRST_LAYERS.names if name in row}
        yield FirstLayer(row=known | {"chromatic_share": share, "chromatic_filters": n_color}, weight=weight)


def chromatic_share(weight: NDArray[np.float32]) -> tuple[float | None, int | None]:
    """Return the share of the energy of filters that is color, and the number of filters that are mostly color.

    A filter without color has the same kernel for red, green and blue. Its energy is the sum of the squared weights;
    without color is that of the mean over the three channels, three times. Filters without a weight other than zero, or
    with one that is not finite, do not count.

    Args:
        weight: [filters, channels, height, width].

    Returns:
        The share over all filters, and the number of filters where it is more than one half; None for other than three
        channels, or if no filter counts.
    """
    if weight.shape[1] != 3:
        return None, None
    filters = weight.astype(np.float64)
    energy = (filters**2).sum(axis=(1, 2, 3))
    gray = 3 * (filters.mean(axis=1) ** 2).sum(axis=(1, 2))
    counts = np.isfinite(energy) & (energy > 0)
    if not counts.any():
        return None, None
    share = 1 - gray[counts].sum() / energy[counts].sum()
    return float(max(share, 0.0)), int((gray[counts] < energy[counts] / 2).sum())
