"""Strips of the distances of models from their family, one row a family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import LogLocator, NullLocator

from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import MAX_MARKS, SMALL, muted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]

# Families in the figure, those with the most models, and models that a family has at least.
MAX_FAMILIES: Final = 12
MIN_SHOWN: Final = 3
# Shown in place of zero, which has no logarithm.
_SMALLEST: Final = 1e-6


def largest_families(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of the families with the most models, the largest family first."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(row["family"], []).append(row)
    chosen = sorted(families, key=lambda name: (-len(families[name]), name))[:MAX_FAMILIES]
    return {name: families[name] for name in chosen}


def family_strips(canvas: Figure, families: Mapping[str, Sequence[Row]]) -> None:
    """Draw the distances of the models of each family on a logarithmic axis, the farthest with its name.

    Args:
        canvas: An empty figure.
        families: Rows of the table of distances by family.
    """
    axes = canvas.add_subplot()
    for place, rows in enumerate(families.values()):
        _draw_family(axes, place, rows)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.06)
    names = [f"{name} ({len(rows)})" for name, rows in zip(labels(list(families), 18), families.values(), strict=True)]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.75)
    axes.grid(visible=True, axis="x")
    axes.set_xlabel("distance from the other models of the family (D)")
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    canvas.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=2)


def _draw_family(axes: Axes, place: int, rows: Sequence[Row]) -> None:
    """Draw the models of a family in a row of the figure; the farthest has its name above the right end."""
    distance_of = [(max(row["distance"], _SMALLEST), row) for row in rows]
    farthest, top = max(distance_of, key=lambda item: item[0])
    middle = median(distance for distance, _ in distance_of)
    axes.plot([middle, middle], [place - 0.12, place + 0.25], color=muted(), lw=1.5, label="median")
    differing = [distance for distance, row in distance_of if row["verdict"] == "differs"]
    others = [distance for distance, row in distance_of if row["verdict"] != "differs" and row is not top]
    (drawn,) = axes.plot(others, [place] * len(others), "o", color="C0", ms=3.5, alpha=0.6, label="model")
    drawn.set_rasterized(len(others) > MAX_MARKS)
    if differing:
        axes.plot(differing, [place] * len(differing), "D", color="C1", ms=5.5, label="differs")
    if top["verdict"] != "differs":
        axes.plot(farthest, place, "D", color="C1", ms=5.5, fillstyle="none", label="farthest, not told apart")
    at_end = (1, place - 0.2)
    names = labels([row["model_id"] for row in rows], 40)
    axes.annotate(
        names[rows.index(top)],
        at_end,
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=SMALL,
    )


def strips_height(families: Mapping[str, Sequence[Row]]) -> float:
    """Return the height of the figure in inches."""
    return 1.35 + 0.5 * len(families)
