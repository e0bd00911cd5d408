"""Drawing: colours that stay apart, pictures that are the same everywhere and hold whatever names there are."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from itertools import combinations
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from filtercrawl.api import Figure, SampleSize
from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.render import plain_power, png, svg
from filtercrawl_analysis.plots.theme import DARK, LIGHT, Theme, diverging, text_on
from filtercrawl_analysis.report.csv import csv_text
from filtercrawl_analysis.report.html import PICTURE_BYTES, fit_budget
from filtercrawl_analysis.report.section_view import PageFigure
from filtercrawl_analysis.report.table_view import cell

# How colours look without one kind of cone, in linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
VISIONS: Final = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# Least distance of two colours in OKLab. The palette of Okabe and Ito without its black has 0.076.
APART: Final = 0.08


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    axes = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return axes @ np.cbrt(cones @ np.clip(rgb, 0, 1))


def contrast(one: str, two: str) -> float:
    """The contrast ratio of WCAG 2."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, two))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("vision", VISIONS)
def test_colours_of_groups_stay_apart_for_everybody(theme: Theme, vision: str) -> None:
    seen = [oklab(VISIONS[vision] @ linear(colour)) for colour in theme.cycle]
    assert min(float(np.linalg.norm(one - two)) for one, two in combinations(seen, 2)) > APART


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_everything_is_seen_on_its_paper(theme: Theme) -> None:
    assert contrast(theme.ink, theme.paper) > 7
    assert min(contrast(colour, theme.paper) for colour in (*theme.cycle, theme.muted)) > 3


@pytest.mark.parametrize("vision", VISIONS)
def test_the_sign_of_a_number_is_seen_by_everybody(vision: str) -> None:
    below, zero, above = (
        oklab(VISIONS[vision] @ linear(mpl.colors.to_hex(diverging()(place)))) for place in (0.2, 0.5, 0.8)
    )
    assert min(np.linalg.norm(below - above), np.linalg.norm(below - zero), np.linalg.norm(above - zero)) > 0.1


@settings(deadline=None)
@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_text_on_a_colour_can_be_read(colour: tuple[float, float, float]) -> None:
    assert contrast(text_on(colour), mpl.colors.to_hex(colour)) > 4.4


def drawn(draw: Callable[[Any], None]) -> Figure:
    return Figure(name="f", title="", caption="", basis=SampleSize(kernels=1, layers=1, models=1), table="t", draw=draw)


def curve(canvas: Any) -> None:
    axes = canvas.add_subplot()
    axes.plot([1, 10, 1000], [1, 2, 3], "C1", label="a")
    axes.set_xscale("log")
    axes.legend()


def test_a_figure_is_the_same_whatever_the_reader_has_set() -> None:
    before = svg(drawn(curve)), png(drawn(curve))
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "svg.hashsalt": "x", "savefig.dpi": 10}):
        assert (svg(drawn(curve)), png(drawn(curve))) == before
    assert svg(drawn(curve), DARK) != before[0]


def test_pictures_hold_no_date_and_the_svg_no_paper() -> None:
    text = svg(drawn(curve)).decode()
    assert "<metadata>" not in text.replace(" ", "") or "date" not in text
    assert LIGHT.paper not in text
    picture = Image.open(io.BytesIO(png(drawn(curve))))
    assert picture.size == (1040, 900)
    assert {"Software", "Creation Time"} & set(picture.info) == set()
    assert picture.getpixel((2, 2))[:3] == (255, 255, 255)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_any_name_can_be_drawn(names: list[str]) -> None:
    def named(canvas: Any) -> None:
        axes = canvas.add_subplot()
        axes.set_yticks(range(len(names)), [label(name) for name in names])
        axes.set_title(names[0])

    ElementTree.fromstring(svg(drawn(named)))


@pytest.mark.parametrize("name", ["$\\frac{1}{", "$x$ $", "a --> b", "nul\x00 bell\x07", "你好 שלום"])
def test_names_that_programs_stumble_over_can_be_drawn(name: str) -> None:
    ElementTree.fromstring(svg(drawn(lambda canvas: canvas.add_subplot().set_title(name))))


def test_powers_on_axes_are_no_tex() -> None:
    assert plain_power("$\\mathdefault{10^{3}}$") == "10³"
    assert plain_power("$\\mathdefault{2\\times10^{-12}}$") == "2\u00d710⁻¹²"
    assert plain_power("0.5") == "0.5"
    seen: list[str] = []

    def watched(canvas: Any) -> None:
        curve(canvas)
        seen.append(canvas.axes[0].xaxis)

    svg(drawn(watched))
    assert "10³" in [text.get_text() for text in seen[0].get_majorticklabels()]  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.text(max_size=80), st.integers(3, 40))
def test_labels_are_one_short_line(text: str, length: int) -> None:
    found = label(text, length)
    assert len(found) <= length
    assert found.isprintable()
    assert label(found, length) == found


def test_figures_beyond_the_budget_are_only_linked() -> None:
    def picture(size: int) -> PageFigure:
        return PageFigure(shown=(bytes(size), bytes(size)), kind="png")

    pictures = {"small": picture(1000), "large": picture(PICTURE_BYTES), "other": picture(2000)}
    assert fit_budget(pictures, PICTURE_BYTES) == {"small", "other"}
    assert fit_budget({}, 0) == set()


def test_cells_are_written_for_people() -> None:
    values = [None, True, 1234567, 0.398212, -12345.6, 1.5e-7, math.nan, [1, 2], "x", 0.0]
    expected = ["", "yes", "1,234,567", "0.3982", "-12,346", "1.5e-07", "nan", "1, 2", "x", "0"]
    assert [cell(value) for value in values] == expected
    assert cell([0.4082, 2.887e-17, -0.4082]) == "0.4082, 0, -0.4082"
    assert cell([1e-20, 3e-20, math.nan]) == "1e-20, 3e-20, nan"


Row = tuple[str | None, float | None, int | None]
FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
# What a CSV keeps: everything that is printable, and line breaks.
PLAIN: Final = st.text(st.characters().filter(str.isprintable) | st.sampled_from("\t\n"), max_size=12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | PLAIN, st.none() | st.floats(), st.none() | st.integers(-9, 9)), max_size=5))
def test_csv_keeps_every_value_and_no_cell_is_a_formula(
    rows: list[tuple[str | None, float | None, int | None]],
) -> None:
    names = ("text", "real", "=whole")
    kinds = (pa.string(), pa.float64(), pa.int64())
    table = pa.table([pa.array([row[i] for row in rows], kinds[i]) for i in range(3)], names=list(names))
    header, *read = csv.reader(io.StringIO(csv_text(table), newline=""))
    assert header == ["text", "real", "'=whole"]
    assert len(read) == len(rows)
    for (text, real, whole), (text_cell, real_cell, whole_cell) in zip(rows, read, strict=True):
        assert not text_cell.startswith(FORMULAS)
        assert text_cell.removeprefix("'") == (text or "").removeprefix("'")
        assert real_cell == "" if real is None else repr(float(real_cell)) == repr(real)
        assert whole_cell == ("" if whole is None else str(whole))


@pytest.mark.parametrize("char", ["\x1b", "\u202e", "\u2028", "\u200b", "\r", "\0"])
def test_csv_holds_no_character_that_changes_what_is_shown(char: str) -> None:
    assert csv_text(pa.table({"name": [f"a{char}b"]})) == "name\na\ufffdb\n"
