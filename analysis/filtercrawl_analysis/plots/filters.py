"""Filters: similarity of twins, dead and copied ones by model, and correlations with a joined table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import PercentFormatter

from filtercrawl_analysis.plots.names import label, labels
from filtercrawl_analysis.plots.theme import muted, paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES: Final = {"up to 32": ("C1", "--"), "33 to 512": ("C2", "-."), "more than 512": ("C0", "-")}
MAX_MODELS: Final = 20


def twin_histogram(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the shares of filters by the similarity of their twins, from rows of the table."""
    axes = canvas.add_subplot()
    for name, (color, line) in _STYLES.items():
        bins = [row for row in rows if row["weights"] == name]
        if bins:
            edges = [row["similarity_from"] for row in bins] + [bins[-1]["similarity_to"]]
            text = f"{name} weights ({sum(row['filters'] for row in bins):,} filters)"
            shares = [row["share"] for row in bins]
            axes.stairs(shares, edges, color=color, ls=line, lw=1.6, label=text)
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("magnitude of the cosine with the twin")
    axes.set_ylabel("share of the filters")
    axes.grid(visible=True)
    axes.legend(loc="upper left")


def largest_shares(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the models with the largest share of dead filters and copies, those of none left out."""

    def share(row: dict[str, Any]) -> float:
        return float((row["dead_filter_share"] or 0.0) + (row["copy_share"] or 0.0))

    ordered = sorted(rows, key=lambda row: (-share(row), row["model_id"]))
    return [row for row in ordered if share(row) > 0][:MAX_MODELS]


def shares_by_model(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw bars of the shares of dead filters and of copies, one model a row."""
    axes = canvas.add_subplot()
    at = range(len(rows))
    dead = [row["dead_filter_share"] or 0.0 for row in rows]
    copies = [row["copy_share"] or 0.0 for row in rows]
    axes.barh(at, dead, color=muted(), label="dead")
    axes.barh(at, copies, left=dead, color="C0", hatch="//", edgecolor=paper(), lw=0, label="copies of another filter")
    names = labels([row["model_id"] for row in rows], 26)
    axes.set_yticks(at, [f"{name} ({row['n_filters']:,})" for name, row in zip(names, rows, strict=True)])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share of the filters")
    axes.grid(visible=True, axis="x")
    canvas.legend(loc="outside lower center", ncols=2)


def correlation_bars(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the rank correlations within layers with the intervals over models, from rows of the table."""
    axes = canvas.add_subplot()
    for at, row in enumerate(rows):
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [at, at], color="C0")
        told = row["verdict"] in ("higher", "lower")
        axes.plot(row["within_layers"], at, "D", color="C0", markersize=6, fillstyle="full" if told else "none")
    axes.axvline(0, color=muted(), lw=1)
    names = [f"{label(row['joined'], 16)} | {row['measure'].replace('_', ' ')}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("rank correlation within layers")
    axes.grid(visible=True, axis="x")
