"""Effective weights against stored ones: scatters of their quality, and intervals of their drift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from filtercrawl_analysis.plots.drift import draw_estimates
from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.theme import MAX_MARKS, SMALL, muted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMES: Final = {
    "sparsity": "sparsity",
    "variance_entropy_norm": "variance entropy (of 1)",
    "orthogonality": "orthogonality",
}
# Markers and colors of what is done to layers; all further kinds share the last.
_STYLES: Final = (("o", "C0"), ("^", "C1"), ("s", "C2"), ("D", "C3"))


def paired_scatters(
    canvas: Figure,
    first: Mapping[str, Sequence[float | None]],
    second: Mapping[str, Sequence[float | None]],
    steps: Sequence[str],
) -> None:
    """Draw measures of effective weights over those of the stored ones.

    Args:
        canvas: An empty figure.
        first: Values of the stored weights by measure, a layer each.
        second: Values of the effective weights.
        steps: What is done to each layer.
    """
    panels = canvas.subplots(1, len(first), squeeze=False)[0]
    kinds = [kind for kind, _ in Counter(steps).most_common()]
    shown, further = kinds[: len(_STYLES) - 1], kinds[len(_STYLES) - 1 :]
    groups = [*((kind, {kind}) for kind in shown), *([("others", set(further))] if further else [])]
    for axes, measure in zip(panels, first, strict=True):
        pairs = list(zip(first[measure], second[measure], steps, strict=True))
        known = [value for x, y, _ in pairs if x is not None and y is not None for value in (x, y)]
        if known:
            ends = [min(known), max(known)]
            axes.plot(ends, ends, color=muted(), lw=0.8, zorder=1)
        for (name, members), (marker, color) in zip(groups, _STYLES, strict=False):
            points = [(x, y) for x, y, kind in pairs if kind in members and x is not None and y is not None]
            axes.scatter(
                [x for x, _ in points], [y for _, y in points], s=12, marker=marker, color=color, alpha=0.5, lw=0,
                label=label(name.replace("_", " "), 40), rasterized=len(steps) > MAX_MARKS,
            )  # fmt: skip
        axes.set_xlabel("stored")
        axes.set_title(_NAMES.get(measure, measure), fontsize=SMALL)
        axes.grid(visible=True)
    panels[0].set_ylabel("effective")
    handles, texts = panels[0].get_legend_handles_labels()
    canvas.legend(handles, texts, loc="outside lower center", ncols=min(len(texts), 3))


def paired_intervals(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the drift of groups between two forms, rows of `effective_drift`, with intervals."""
    groups = (
        "all layers" if row["column"] == "all" else f"{row['column'].replace('_', ' ')}: {label(row['group'], 18)}"
        for row in rows
    )
    names = [f"{name} ({row['models']})" for name, row in zip(groups, rows, strict=True)]
    axes = canvas.add_subplot()
    draw_estimates(canvas, axes, rows, names)
    axes.grid(visible=True, axis="x")
