"""The analysis `first-layers`: filters of first layers as color pictures, and how much of them is color."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.analysis import (
    CitedRows,
    DatasetView,
    Estimate,
    Figure,
    Finding,
    Result,
    ResultTable,
    SampleSize,
)
from filtercrawl.api.errors import DatasetError
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl.load.pictures import to_pictures
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.first_layers import COLUMNS, GRID, filter_grids
from filtercrawl_analysis.statistics.first_layers.colors import (
    COLOR_OF_RANDOM,
    FIRST_LAYERS,
    MAX_LAYERS,
    FirstLayer,
    read_first_layers,
    select_first_layers,
)

Row = dict[str, Any]

TABLE: Final = "first_layers"
# Layers in the figure, of as many architectures as there are.
MAX_SHOWN: Final = 12
_ABOUT: Final = (
    "Two-dimensional first layers of one or three input channels, of networks whose graph is known. chromatic_share: "
    "share of the energy that is not the same in the three channels; of random weights 0.67. chromatic_filters: "
    "filters that it is more than half of."
)


def analyze(dataset: DatasetView) -> Result:
    """Show the filters of first layers in color."""
    dataset.progress(0, 1, "first layers")
    layers = select_first_layers(dataset.index)
    if not len(layers):
        return empty_result("no first layer of one or three input channels is known")
    try:
        found = list(read_first_layers(dataset, layers.slice(0, MAX_LAYERS)))
    except DatasetError as error:
        # A nightly run starts without the layers files of earlier versions.
        return Result(note=f"First layers were not read: {error}.")
    dataset.progress(1, 1, "first layers")
    rows = [layer.row for layer in found]
    left_out = max(0, len(layers) - MAX_LAYERS)
    about = _ABOUT + (f" {left_out:,} more layers are left out." if left_out else "")
    table = ResultTable(
        name=TABLE, title="First layers", rows=pa.Table.from_pylist(rows, schema=FIRST_LAYERS), about=about
    )
    return Result(tables=(table,), figures=(_figure(found),), findings=tuple(_findings(rows)))


def _findings(rows: Sequence[Row]) -> Iterator[Finding]:
    n_patchify = sum(row["is_patchify"] is True for row in rows)
    color = sorted(
        (row["chromatic_share"], row["model_id"], position)
        for position, row in enumerate(rows)
        if row["chromatic_share"] is not None
    )
    if color:
        least, most = color[0], color[-1]
        shares = [share for share, _, _ in color]
        below = sum(share < COLOR_OF_RANDOM for share in shares)
        yield Finding(
            text=f"Of {format_plural(len(color), 'first layer')} of three input channels{_left_out(rows)}, {below} "
            f"{verb(below, 'has', 'have')} less color than random weights ({COLOR_OF_RANDOM:.0%} of the energy), "
            "with the channels read as red, green and blue whatever the input is: the "
            f"median is {median(shares):.0%}, from {least[0]:.0%} in {least[1]} to {most[0]:.0%} in {most[1]}.",
            table=TABLE,
            row=least[2],
            other_rows=(most[2],) if most[2] != least[2] else (),
            estimate=Estimate(
                label="of the energy of first layers is color, the three channels read as red, green and blue; "
                f"{COLOR_OF_RANDOM:.0%} in random weights",
                value=median(shares),
                percent=True,
                note=f"median of {format_plural(len(color), 'layer')}; from {least[0]:.0%} to {most[0]:.0%}",
            ),
            basis=SampleSize(
                kernels=sum(rows[position]["out_channels"] * rows[position]["in_channels"] for _, _, position in color),
                layers=len(color),
                models=len({model_id for _, model_id, _ in color}),
            ),
        )
    layers = format_plural(len(rows), "first layer")
    yield Finding(
        text=f"{n_patchify} of {layers} {verb(n_patchify, 'cuts', 'cut')} the image into patches.",
        cited_rows=(CitedRows(table=TABLE, where={"is_patchify": True}),) if n_patchify else (),
    )


def _left_out(rows: Sequence[Row]) -> str:
    """Return how many first layers have no share of color, and why, in brackets."""
    n_gray = sum(row["in_channels"] == 1 for row in rows)
    n_unknown = sum(row["chromatic_share"] is None for row in rows) - n_gray
    parts = [f"{n_gray} of one channel"] if n_gray else []
    parts += [f"{n_unknown} without a finite weight other than zero"] if n_unknown else []
    return f" (left out: {' and '.join(parts)})" if parts else ""


def _figure(found: Sequence[FirstLayer]) -> Figure:
    shown = _of_many_architectures(found)
    pictures = [(layer.row["model_id"], _strongest(layer)) for layer in shown]
    n_rows = -(-len(shown) // COLUMNS)
    return Figure(
        name="first_layer_pictures",
        title="Filters of first layers",
        caption=f"The {GRID[0] * GRID[1]} filters with the largest norm of each layer, with the input channels as red, "
        "green and blue; gray is zero, and each filter has its own scale. "
        f"{len(shown)} of {len(found)} layers of one or three channels, of as many architectures as there are.",
        basis=SampleSize(
            kernels=sum(layer.weight.shape[0] * layer.weight.shape[1] for layer in shown),
            layers=len(shown),
            models=len({layer.row["model_id"] for layer in shown}),
        ),
        table=TABLE,
        draw=partial(filter_grids, layers=pictures),
        height=0.2 + 1.45 * n_rows,
    )


def _of_many_architectures(found: Sequence[FirstLayer]) -> list[FirstLayer]:
    """Return layers to show: one of each architecture first, then further ones, in their order."""
    seen: dict[str | None, int] = {}
    ranked = []
    for position, layer in enumerate(found):
        name = layer.row["architecture"] or layer.row["model_id"]
        seen[name] = seen.get(name, 0) + 1
        ranked.append((seen[name], position))
    return [found[position] for _, position in sorted(ranked)[:MAX_SHOWN]]


def _strongest(layer: FirstLayer) -> Any:
    """Return pictures of the filters with the largest norm, in the order of the layer."""
    norms = np.linalg.norm(np.nan_to_num(layer.weight.reshape(len(layer.weight), -1).astype(np.float64)), axis=1)
    chosen = np.sort(np.argsort(-norms, kind="stable")[: GRID[0] * GRID[1]])
    return to_pictures(layer.weight[chosen])
