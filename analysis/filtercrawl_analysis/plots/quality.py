"""Quality of layers: entropy against size, profiles over depth, mosaics of kernels, and frequency spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import StrMethodFormatter

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.theme import MAX_MARKS, NOT_FINITE, SMALL, diverging, start_at_zero

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Markers also differ in shape, for readers who do not see the colors.
_MARKERS: Final = {
    "ok": ("o", "C0"),
    "random": ("^", "C1"),
    "outliers": ("P", "C2"),
    "repeated": ("s", "C3"),
    "near copies": ("D", "C4"),
    "dead": ("X", "C5"),
    "too small": (".", "C6"),
    None: ("1", "C6"),
}
_NO_VERDICT: Final = "no verdict"
# By name, so that a curve looks the same whichever others there are.
RANDOM_CURVE: Final = "5 % of random layers"
PAPER_CURVE: Final = "T_H"
_WORDS: Final = {"variance_entropy_norm": "variance entropy (of 1)"}
_CURVES: Final = {RANDOM_CURVE: "-", PAPER_CURVE: "--"}


def entropy_scatter(
    canvas: Figure,
    kernels: Array,
    entropy: Array,
    verdicts: Sequence[str | None],
    curves: dict[str, tuple[Array, Array]],
    top: float,
) -> None:
    """Draw variance entropy against the number of kernels, one mark per layer.

    Args:
        canvas: An empty figure.
        kernels: Kernels of each layer [layers].
        entropy: Variance entropy of each layer [layers].
        verdicts: Verdict of each layer.
        curves: Kernels and entropy of `RANDOM_CURVE` (drawn solid) and `PAPER_CURVE` (dashed), where they exist.
        top: The largest possible entropy.
    """
    axes = canvas.add_subplot()
    verdict_names = np.array([v or "" for v in verdicts])
    for verdict, (mark, color) in _MARKERS.items():
        selected = verdict_names == (verdict or "")
        if selected.any():
            text = f"{verdict or _NO_VERDICT} ({int(selected.sum())})"
            points = axes.scatter(kernels[selected], entropy[selected], s=14, marker=mark, color=color, alpha=0.6, lw=0)
            points.set_label(text)
            points.set_rasterized(len(kernels) > MAX_MARKS)
    for name, (x, y) in curves.items():
        axes.plot(x, y, _CURVES[name], color="C6", lw=1, label=name)
    axes.axhline(top, color="C6", lw=0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(-0.02 * top, 1.04 * top)
    axes.set_xlabel("kernels in the layer")
    axes.set_ylabel("variance entropy (base 10)")
    canvas.legend(loc="outside lower center", ncols=2, markerscale=1.4)


def depth_profiles(canvas: Figure, rows: Sequence[dict[str, Any]], numbers: Sequence[str]) -> None:
    """Draw median and quartiles of each number by depth decile, from rows of `summarize_groups` of one kernel size."""
    axes: list[Axes] = list(canvas.subplots(len(numbers), 1, sharex=True, squeeze=False)[:, 0])
    for panel, number in zip(axes, numbers, strict=True):
        known = [row for row in rows if row[f"{number}_median"] is not None]
        decile = np.array([int(row["group"]) for row in known])
        low, middle, high = (np.array([row[f"{number}_{q}"] for row in known]) for q in ("q1", "median", "q3"))
        panel.fill_between(decile, low, high, alpha=0.25, lw=0, color="C0")
        panel.plot(decile, middle, "o-", color="C0")
        start_at_zero(panel)
        panel.set_ylabel(_WORDS.get(number, number.replace("_", " ")))
        panel.grid(visible=True, axis="y")
    axes[-1].set_xticks([2 * i - 0.5 for i in range(6)], [f"{i / 5:g}" for i in range(6)])
    axes[-1].set_xlabel("depth in the network")


def kernel_mosaics(canvas: Figure, layers: Sequence[tuple[str, tuple[int, ...], Array]], columns: int) -> None:
    """Draw kernels, one row of images per layer.

    Args:
        canvas: An empty figure.
        layers: Title, kernel size and kernels [k, taps] of each layer: within [-1, 1], and infinity for weights that
            are not finite.
        columns: Kernels per row.
    """
    grid = canvas.subplots(len(layers), 1, squeeze=False)[:, 0]
    colors = diverging().with_extremes(over=NOT_FINITE)
    for axes, (name, size, kernels) in zip(grid, layers, strict=True):
        picture = _tiled(kernels[:columns], size, columns)
        picture[np.isinf(picture)] = 2  # above the range, as imshow leaves out what is infinite
        axes.imshow(picture, cmap=colors, vmin=-1, vmax=1, interpolation="nearest")
        axes.set_title(label(name, 60), loc="left", fontsize=SMALL)
        axes.set_axis_off()


def _tiled(kernels: Array, size: tuple[int, ...], columns: int) -> Array:
    """Return one row of kernels with gaps of one pixel, [height, width]; NaN in the gaps."""
    height, width = int(np.prod(size[:-1], dtype=np.int64)), size[-1]
    picture = np.full((height, columns * (width + 1) - 1), np.nan)
    for i, kernel in enumerate(kernels):
        start = i * (width + 1)
        picture[:, start : start + width] = kernel.reshape(height, width)
    return picture


_STYLES: Final = {"all": "o-", "first": "^-", "between": "s-", "last": "v-"}


def frequency_profile(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the share of the energy by frequency, one line per position, from rows of the table of one kernel size."""
    axes = canvas.add_subplot()
    for i, (position, style) in enumerate(_STYLES.items()):
        of_position = [row for row in rows if row["position"] == position]
        if of_position:
            text = f"{position} ({of_position[0]['layers']} layers)"
            axes.plot(
                [r["frequency"] for r in of_position],
                [r["share"] for r in of_position],
                style,
                color=f"C{i}",
                label=text,
            )
    noise = [row for row in rows if row["position"] == "all"]
    axes.plot(
        [r["frequency"] for r in noise], [r["share_of_noise"] for r in noise], "--", color="C6", label="random weights"
    )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("radial frequency, in units of the Nyquist frequency")
    axes.set_ylabel("share of the energy")
    axes.grid(visible=True)
    axes.legend()
