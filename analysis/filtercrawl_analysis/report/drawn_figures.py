"""Drawing a figure in all the forms that the report needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from filtercrawl.api.analysis import Figure
from filtercrawl.api.errors import describe_error
from filtercrawl_analysis.plots.render import palette_png, png, svg, svg_and_png
from filtercrawl_analysis.plots.theme import DARK, LIGHT
from filtercrawl_analysis.report.section_view import PageFigure

# From this size on, the page embeds the PNG instead, if that is smaller.
SVG_BYTES: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class DrawnFigure:
    """A figure, drawn.

    Attributes:
        svg: Its SVG file.
        png: Its PNG file.
        shown: What the page embeds.
    """

    svg: bytes
    png: bytes
    shown: PageFigure


@dataclass(frozen=True, kw_only=True)
class FigureProblem:
    """A figure that could not be drawn.

    Attributes:
        reason: Why.
    """

    reason: str


def draw_figure(figure: Figure) -> DrawnFigure | FigureProblem:
    """Draw a figure on light and dark background, or say why that fails."""
    try:
        light, raster = svg_and_png(figure, LIGHT)
        return DrawnFigure(svg=light, png=raster, shown=_page_figure(figure, light, raster))
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        return FigureProblem(reason=describe_error(error))


def _page_figure(figure: Figure, light: bytes, raster: bytes) -> PageFigure:
    if len(light) > SVG_BYTES and len(small := palette_png(raster)) < len(light):
        return PageFigure(shown=(small, palette_png(png(figure, DARK))), kind="png")
    return PageFigure(shown=(light, svg(figure, DARK)), kind="svg+xml")
