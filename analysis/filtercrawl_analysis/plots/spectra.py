"""Spectra of layers by depth, and the decay of their singular values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from filtercrawl_analysis.plots.theme import muted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES: Final = {"first third": ("C0", "-"), "second third": ("C2", "-."), "last third": ("C1", ":")}


def depth_lines(canvas: Figure, layers: pa.Table, column: str, reference: str | None, axis: str) -> None:
    """Draw a column of layers by depth: a line a model, the median of each tenth, and that of another column.

    Args:
        canvas: An empty figure.
        layers: Layers with a value and a known depth.
        column: Name of the column.
        reference: Name of the column of random layers; None without one.
        axis: Label of the vertical axis.
    """
    axes = canvas.add_subplot()
    depth = layers["conv_depth_norm"].to_numpy()
    values = layers[column].to_numpy()
    models = np.array(layers["model_id"].to_pylist())
    for i, model in enumerate(sorted(set(models.tolist()))):
        member = np.flatnonzero(models == model)
        ordered = member[np.argsort(depth[member], kind="stable")]
        text = "a model" if i == 0 else None
        axes.plot(depth[ordered], values[ordered], "-", color=muted(), lw=0.6, alpha=0.35, label=text)
    deciles = layers["depth_decile"].to_numpy()
    axes.plot(*_medians(deciles, values), "o-", color="C0", lw=2, label="median of layers")
    if reference is not None:
        of_random = layers[reference].to_numpy(zero_copy_only=False).astype(np.float64)
        known = np.isfinite(of_random)
        axes.plot(*_medians(deciles[known], of_random[known]), "s--", color="C1", label="random layers")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0, 1)
    axes.set_xlabel("depth in the network")
    axes.set_ylabel(axis)
    axes.grid(visible=True)
    axes.legend()


def decay_curves(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the decay of singular values, from rows of the table: all layers as a band, and thirds of the depth."""
    axes = canvas.add_subplot()
    every = [row for row in rows if row["depth"] == "all"]
    at = [row["relative_index"] for row in every]
    axes.fill_between(
        at,
        [row["q1"] for row in every],
        [row["q3"] for row in every],
        color=muted(),
        alpha=0.3,
        lw=0,
        label=f"half of all layers ({every[0]['layers']:,})",
    )
    axes.plot(at, [row["random_weights"] for row in every], "--", color="C6", label="random layers")
    for name, (color, line) in _STYLES.items():
        of_third = [row for row in rows if row["depth"] == name]
        if of_third:
            text = f"{name} of the depth ({of_third[0]['layers']:,})"
            axes.plot(at, [row["median"] for row in of_third], line, color=color, lw=1.8, label=text)
    if len({row["depth"] for row in rows}) == 1:
        axes.plot(at, [row["median"] for row in every], "-", color="C0", label="median of layers")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("index of the singular value / number of singular values")
    axes.set_ylabel("singular value / largest")
    axes.grid(visible=True)
    axes.legend()


def _medians(deciles: Any, values: Any) -> tuple[list[float], list[float]]:
    """Return the middle and the median of each depth decile that has layers."""
    present = sorted(set(deciles.tolist()))
    return [(d + 0.5) / 10 for d in present], [float(np.median(values[deciles == d])) for d in present]
