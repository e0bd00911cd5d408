"""Stated accuracy against measures of kernels: rank correlations with intervals, and one mark a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import MaxNLocator

from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.theme import muted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]

# Markers also differ in shape, for readers who do not see the colors.
_MARKERS: Final = "o^sDPX"
_SCOPES: Final = {"all models": ("C1", "s", -0.16), "within families": ("C0", "o", 0.16)}


def correlation_intervals(canvas: Figure, rows: Sequence[Row]) -> None:
    """Draw the correlation of each measure with its interval, one line a scope, from rows of `accuracy_correlation`."""
    axes = canvas.add_subplot()
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    axes.axvline(0, color=muted(), lw=0.8)
    for scope, (color, mark, shift) in _SCOPES.items():
        for row in (row for row in rows if row["scope"] == scope):
            y = measures.index(row["measure"]) + shift
            told = row["verdict"] in ("rises", "falls")
            axes.plot([row["low"], row["high"]], [y, y], color=color)
            axes.plot(row["rho"], y, mark, color=color, markersize=6, fillstyle="full" if told else "none")
        axes.plot([], [], f"{mark}-", color=color, label=scope)
    axes.set_yticks(range(len(measures)), [measure.replace("_", " ") for measure in measures])
    axes.set_ylim(len(measures) - 0.4, -0.6)
    axes.set_xlim(-1.03, 1.03)
    axes.set_xlabel("rank correlation with the stated accuracy")
    axes.grid(visible=True, axis="x")
    canvas.legend(loc="outside lower center", ncols=2)


def accuracy_scatters(canvas: Figure, models: Sequence[Row], measures: Sequence[str]) -> None:
    """Draw the metric of models against each measure, one panel a measure.

    Args:
        canvas: An empty figure.
        models: Rows of `accuracy_models` of one metric.
        measures: Names of measures.
    """
    counts = Counter(row["family"] for row in models if row["family"] is not None)
    named = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: len(_MARKERS)]]
    n_rows = (len(measures) + 1) // 2
    panels = canvas.subplots(n_rows, 2, sharey=True, squeeze=False).ravel()
    for axes, measure in zip(panels, measures, strict=False):
        others = [row for row in models if row["family"] not in named and row[measure] is not None]
        axes.plot([row[measure] for row in others], [row["value"] for row in others], ".", color=muted(), alpha=0.7)
        for i, family in enumerate(named):
            members = [row for row in models if row["family"] == family and row[measure] is not None]
            x, y = [row[measure] for row in members], [row["value"] for row in members]
            axes.plot(x, y, _MARKERS[i], color=f"C{i}", alpha=0.8, mew=0)
        axes.set_xlabel(measure.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(visible=True)
    for axes in panels[len(measures) :]:
        axes.set_axis_off()
    for i, family in enumerate(named):
        canvas.axes[0].plot([], [], _MARKERS[i], color=f"C{i}", label=f"{label(family, 20)} ({counts[family]})")
    if len(models) > sum(counts[name] for name in named):
        rest = len(models) - sum(counts[name] for name in named)
        canvas.axes[0].plot([], [], ".", color=muted(), label=f"others ({rest})")
    canvas.supylabel(label(models[0]["metric"], 40), fontsize=10)
    canvas.legend(loc="outside lower center", ncols=2)
