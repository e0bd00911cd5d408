"""What is wrong with the layout of a figure: text that overlaps, is cut off, or is too small for a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text

from filtercrawl.api.analysis import Figure, SampleSize
from filtercrawl_analysis.plots.render import laid_out
from filtercrawl_analysis.plots.theme import LIGHT, SMALL, Theme


def figure_of(draw: Callable[[Any], None], height: float = 4.5) -> Figure:
    """A figure of the default width that is drawn by a function."""
    basis = SampleSize(kernels=1, layers=1, models=1)
    return Figure(name="f", title="", caption="", basis=basis, table="t", draw=draw, height=height)


def texts_of(canvas: Canvas) -> Iterator[Text]:
    """The texts of a figure that are seen."""
    ticks: set[int] = set()
    for axes in canvas.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                seen = axes.axison and low - slack <= tick.get_loc() <= high + slack
                ticks |= {id(label) for label in (tick.label1, tick.label2) if not seen}
    for text in canvas.findobj(Text):
        assert isinstance(text, Text)
        hidden = (
            text.axes is not None and not text.axes.axison and text in (text.axes.xaxis.label, text.axes.yaxis.label)
        )
        if text.get_visible() and text.get_text().strip() and id(text) not in ticks and not hidden:
            yield text


def layout_problems(figure: Figure, theme: Theme = LIGHT) -> list[str]:
    """What is wrong with a figure."""
    with laid_out(figure, theme) as canvas:
        width, height = canvas.bbox.width, canvas.bbox.height
        boxes = [(text, text.get_window_extent()) for text in texts_of(canvas)]
        problems = [f"{t.get_text()!r} has {t.get_fontsize():g} points" for t, _ in boxes if t.get_fontsize() < SMALL]
        problems += [
            f"{text.get_text()!r} is cut off"
            for text, box in boxes
            if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1
        ]
        for (one, a), (two, b) in combinations(boxes, 2):
            if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1:
                problems.append(f"{one.get_text()!r} overlaps {two.get_text()!r}")
    return problems
