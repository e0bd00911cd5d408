"""Rendering of figures to SVG and PNG: the same bytes for the same figure, on every machine and with any settings."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib.figure
import matplotlib.style
from matplotlib.ticker import Formatter, LogFormatterMathtext
from PIL import Image

from filtercrawl.api.analysis import Figure
from filtercrawl_analysis.plots.theme import LIGHT, Theme, settings

# Twice the resolution at which a browser shows a figure.
DPI: Final = 200
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_INVALID_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_POWER: Final = re.compile(r"\^\{([-.\d]+)\}")
_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PATH: Final = re.compile(r' d="([^"]*)"')
_GLYPH: Final = re.compile(r'(?<=["#])DejaVuSans-')
_STYLE: Final = re.compile(r'(?<= style=")[^"]*')
_SHIFT: Final = re.compile(r'(<use xlink:href="#g[^"]*") transform="translate\(([-\d.]+) 0\)"')
_PLACE: Final = re.compile(r'(?<= [xy]=")[^"]*|(?<=translate\()[^)]*')
_NUMBER: Final = re.compile(r"-?\d+\.\d+")
_COMMAND: Final = re.compile(r"\s*([A-Za-z])\s*")
_SPACE_BETWEEN_TAGS: Final = re.compile(r">\s+<")
_NO_METADATA: Final = {"Date": None, "Creator": None, "Format": None, "Type": None}


def svg(figure: Figure, theme: Theme = LIGHT) -> bytes:
    """Render as SVG with a transparent background and text as outlines; raises what `draw` raises."""
    with laid_out(figure, theme) as canvas:
        return _svg(canvas)


def png(figure: Figure, theme: Theme = LIGHT) -> bytes:
    """Render as PNG on the background of the theme; raises what `draw` raises."""
    with laid_out(figure, theme) as canvas:
        return _png(canvas)


def svg_and_png(figure: Figure, theme: Theme = LIGHT) -> tuple[bytes, bytes]:
    """Return what `svg` and `png` return; the figure is drawn and laid out once."""
    with laid_out(figure, theme) as canvas:
        return _svg(canvas), _png(canvas)


def _svg(canvas: matplotlib.figure.Figure) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format="svg", dpi=DPI, transparent=True, metadata=_NO_METADATA)
    # matplotlib repeats every text in a comment, including control characters, which are not valid in XML.
    text = _INVALID_XML.sub("\ufffd", _COMMENT.sub("", out.getvalue().decode("utf-8", "surrogatepass")))
    text = _PLACE.sub(lambda place: _round(place[0]), _PATH.sub(_compact, _GLYPH.sub("g", text)))
    text = _SHIFT.sub(r'\1 x="\2"', text)
    text = _STYLE.sub(lambda style: style[0].replace(": ", ":").replace("; ", ";"), text)
    return _SPACE_BETWEEN_TAGS.sub("><", text).encode()


def _round(text: str) -> str:
    """Round all numbers to two decimals, hundredths of a point."""
    return _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), text)


def _compact(path: re.Match[str]) -> str:
    """Write a path with rounded numbers and without needless spaces: two thirds of the bytes."""
    words = _COMMAND.sub(r"\1", _round(path[1])).split()
    return f' d="{" ".join(words)}"'


def _png(canvas: matplotlib.figure.Figure) -> bytes:
    out = io.BytesIO()
    canvas.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


def palette_png(image_bytes: bytes) -> bytes:
    """Return a PNG reduced to a palette of 256 colors: a third of the bytes, and no visible difference."""
    out = io.BytesIO()
    image = Image.open(io.BytesIO(image_bytes)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(out, "png", optimize=True)
    return out.getvalue()


@contextmanager
def laid_out(figure: Figure, theme: Theme = LIGHT) -> Iterator[matplotlib.figure.Figure]:
    """Draw and lay out a figure with the settings of a theme, which hold within the context."""
    # Ids within an SVG are hashes with this salt; without one they are random.
    overrides: dict[str, Any] = {**settings(theme), "svg.hashsalt": f"{figure.name} {theme.name}"}
    with matplotlib.style.context(["default", overrides]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")  # names may be in scripts that the font lacks
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        canvas = matplotlib.figure.Figure(figsize=(figure.width, figure.height), layout="constrained")
        figure.draw(canvas)
        for axes in canvas.axes:
            for axis in (axes.xaxis, axes.yaxis):
                if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
                    axis.set_major_formatter(PlainPowers(axis.get_major_formatter()))
                if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
                    axis.set_minor_formatter(PlainPowers(axis.get_minor_formatter()))
        # Laid out here, once: `savefig` would do it twice for each format.
        canvas.draw_without_rendering()
        canvas.set_layout_engine("none")
        yield canvas


class PlainPowers(Formatter):
    """Writes 10³ as plain text where matplotlib's formatter writes TeX, whose parsing is turned off: see `settings`."""

    def __init__(self, inner: Formatter) -> None:
        self._inner = inner

    def set_axis(self, axis: Any) -> None:
        """Set the axis of both formatters."""
        super().set_axis(axis)
        self._inner.set_axis(axis)

    def format_ticks(self, values: Any) -> list[str]:
        """Format all ticks."""
        return [plain_power(text) for text in self._inner.format_ticks(values)]

    def __call__(self, x: float, pos: int | None = None) -> str:
        return plain_power(self._inner(x, pos))


def plain_power(text: str) -> str:
    """Convert TeX powers such as `10^{3}` to plain text, 10³."""
    text = text.removeprefix("$\\mathdefault{").removesuffix("}$").replace("\\times", "\u00d7").replace("\u2212", "-")
    return _POWER.sub(lambda power: power[1].translate(_SUPERSCRIPT), text)
