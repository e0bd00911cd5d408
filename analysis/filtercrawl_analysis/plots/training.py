"""Training runs by step: curves of measures, and the same kernels at several steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.theme import diverging, muted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]

# Column and label of the panels that have one line of the run over thin ones of its layers.
_PANELS: Final = (
    ("variance_entropy_norm", "variance entropy (of 1)"),
    ("explained_variance", "share of the first component"),
    ("component_cosine", "cosine of the component\nwith that of the last step"),
    ("sparsity", "share of dead kernels"),
)


def training_curves(canvas: Figure, steps: Sequence[Row], layers: Sequence[Row]) -> None:
    """Draw the measures of one run by step, with thin lines for its layers.

    Args:
        canvas: An empty figure.
        steps: Rows of `training_steps` of the run.
        layers: Rows of `training_layers` of the run.
    """
    panels: list[Axes] = list(canvas.subplots(3, 2, sharex=True).flat)
    drift = panels[0]
    _line(drift, steps, "drift_from_first", "o-", "C0", "drift from the first step")
    _line(drift, steps, "drift_from_last", "s-", "C1", "drift from the last step")
    _line(drift, steps, "floor", "--", "C6", "floor of the drift")
    drift.set_ylabel("drift D")
    canvas.legend(loc="outside lower center", ncols=2)
    names = list(dict.fromkeys((row["layer"], row["kernel"]) for row in layers))
    for axes, (column, text) in zip(panels[1:], _PANELS, strict=False):
        for name in names:
            _line(axes, [row for row in layers if (row["layer"], row["kernel"]) == name], column, "-", muted(), None)
        _line(axes, steps, column, "o-", "C0", None)
        axes.set_ylabel(text)
    panels[4].set_ylim(0, max(0.05, panels[4].get_ylim()[1]))
    stated = [row for row in steps if row["value"] is not None]
    if stated:
        _line(panels[5], stated, "value", "o-", "C2", None)
        panels[5].set_ylabel(label(stated[0]["metric"], 24))
    else:
        _line(panels[5], steps, "weight_rms", "o-", "C0", None)
        panels[5].set_ylabel("root mean square weight")
    smallest = min((row["step"] for row in steps if row["step"] > 0), default=1)
    for axes in panels:
        axes.set_xscale("symlog", linthresh=smallest)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
        locator = SymmetricalLogLocator(base=10, linthresh=smallest)
        locator.set_params(numticks=4)
        axes.xaxis.set_major_locator(locator)
        axes.minorticks_off()
        axes.grid(visible=True)
    for axes in panels[-2:]:
        axes.set_xlabel("training step")


def kernels_by_step(canvas: Figure, kernels: Array, kernel_size: tuple[int, int], steps: Sequence[int]) -> None:
    """Draw kernels, one row each, at several steps, one column each; every picture has its own scale.

    Args:
        canvas: An empty figure.
        kernels: float64 [kernels, steps, taps].
        kernel_size: Height and width of a kernel.
        steps: The steps.
    """
    axes = canvas.add_subplot()
    height, width = kernel_size
    n_rows, n_columns, _ = kernels.shape
    picture = np.full((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1), np.nan)
    peaks = np.nanmax(np.abs(np.where(np.isfinite(kernels), kernels, np.nan)), axis=-1, initial=1e-30)
    scaled = (kernels / peaks[..., None]).reshape(n_rows, n_columns, height, width)
    for row in range(n_rows):
        for column in range(n_columns):
            top, left = row * (height + 1), column * (width + 1)
            picture[top : top + height, left : left + width] = scaled[row, column]
    axes.imshow(picture, cmap=diverging(), vmin=-1, vmax=1, interpolation="nearest")
    axes.set_xticks(
        [column * (width + 1) + (width - 1) / 2 for column in range(n_columns)], [short_count(step) for step in steps]
    )
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("training step")


def short_count(count: float) -> str:
    """Return a count with at most three digits and a unit: `500`, `12.3k`, `1M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 0.9995 * size:  # from here on, three digits round to the next unit
            return f"{float(f'{count / size:.3g}'):g}{unit}"
    return f"{count:.0f}"


def _line(axes: Axes, rows: Sequence[Row], column: str, style: str, color: str, text: str | None) -> None:
    known = [row for row in rows if row[column] is not None]
    thin = color == muted()
    axes.plot(
        [row["step"] for row in known],
        [row[column] for row in known],
        style,
        color=color,
        label=text,
        lw=0.8 if thin else 1.6,
        alpha=0.6 if thin else 1.0,
        markersize=3,
    )
