"""How far numbers move when each model is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import Formatter, MaxNLocator

from filtercrawl_analysis.plots.names import labels
from filtercrawl_analysis.plots.theme import SMALL, muted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]

# Models with a name in each panel; all others are combined.
NAMED: Final = 4


def influence_panels(
    canvas: Figure, panels: Sequence[tuple[str, Sequence[Row]]], axis: str, formatter: Formatter | None = None
) -> None:
    """Draw numbers without each model, one panel a number: the most influential models by name, then the others.

    Args:
        canvas: An empty figure.
        panels: Title and rows of the table of influence, the most influential model first, of each panel.
        axis: What the numbers are.
        formatter: Of the numbers; None for that of matplotlib.
    """
    grid = canvas.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (title, every) in zip(grid, panels, strict=True):
        rows = [row for row in every if row["without"] is not None]
        named, others = rows[:NAMED], rows[NAMED:]
        value = every[0]["value"]
        axes.axvline(value, color=muted(), lw=1, label="all models")
        for at, row in enumerate(named):
            color = "C0" if row["change"] < 0 else "C1"
            axes.plot([value, row["without"]], [at, at], color=color, lw=1.2)
            axes.plot(row["without"], at, "o", color=color, ms=5)
        names = labels([row["model_id"] for row in named], 26)
        if others:
            x = [at for row in others for at in (row["without"], row["without"], None)]
            axes.plot(x, [len(named) - 0.35, len(named) + 0.35, None] * len(others), color="C6", lw=0.8)  # one path
            names.append(f"{len(others)} other{'s' * (len(others) != 1)}")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.6)
        axes.set_title(title, fontsize=SMALL, loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if formatter is not None:
            axes.xaxis.set_major_formatter(formatter)
        axes.grid(visible=True, axis="x")
        axes.margins(x=0.08)
    grid[-1].set_xlabel(axis)
    grid[0].plot([], [], "o", color="C0", ms=5, label="lower without it")
    grid[0].plot([], [], "o", color="C1", ms=5, label="higher without it")
    canvas.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def influence_height(panels: Sequence[tuple[str, Sequence[Row]]]) -> float:
    """Return the height of the figure in inches."""
    return 0.8 + sum(0.75 + 0.2 * min(sum(row["without"] is not None for row in rows), NAMED + 1) for _, rows in panels)
