"""Figures of components and coefficients, looked at as drawn: any groups fit, and what is not determined is marked."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from filtercrawl_analysis.plots.coefficients import group_phenotypes, phenotypes, ridges
from filtercrawl_analysis.plots.eigenkernels import ComponentRow, eigenkernels, group_eigenkernels, variance_shares
from filtercrawl_analysis.plots.render import laid_out
from filtercrawl_analysis.plots.theme import DARK, LIGHT, Theme, group_colors
from support.figure_layout import figure_of, layout_problems, texts_of

LONG = [f"organization/a-model-with-a-long-name-{i}-🚀 שלום" for i in range(12)]
NOT_DETERMINED = "not told apart: directions are not determined"


def component_row(name: str, taps: int = 9, apart: bool = False, known: bool = True) -> ComponentRow:
    """Components of equal vectors whose intervals overlap with those of their neighbors, or are all apart."""
    shares = np.arange(taps, 0, -1) / np.arange(1, taps + 1).sum()
    half = 0.05 / taps
    return ComponentRow(
        name=name,
        vectors=np.linalg.qr(np.random.default_rng(0).normal(size=(taps, taps)))[0],
        shares=shares.tolist(),
        low=(shares - half).tolist() if known else None,
        high=(shares + half).tolist() if known else None,
        runs=[range(taps)] if known and not apart else [],
    )


def table_rows(groups: list[str], components: int, known: bool) -> list[dict[str, Any]]:
    return [
        {
            "group": group,
            "component": component,
            "models": 3,
            "explained_variance": 0.3 / (component + 1),
            "low": 0.2 / (component + 1) if known else None,
            "high": 0.4 / (component + 1) if known else None,
            "verdict": "higher" if i == 0 else "not told apart",
        }
        for i, group in enumerate(groups)
        for component in range(components)
    ]


def ridge_rows(groups: list[str], components: int) -> list[dict[str, Any]]:
    points = np.linspace(-2, 2, 64)
    return [
        {"group": group, "component": c, "coefficient": x, "density": np.exp(-x * x), "median": 0.0}
        for group in groups
        for c in range(components)
        for x in points.tolist()
    ]


@pytest.mark.parametrize(("taps", "size"), [(9, (3, 3)), (3, (3,)), (3, (3, 1)), (27, (3, 3, 3)), (4, (2, 2))])
def test_all_components_fit_for_any_kernel_size(taps: int, size: tuple[int, ...]) -> None:
    figure = figure_of(
        partial(eigenkernels, row=component_row("all", taps), size=size), 0.6 + 1.5 * -(-min(taps, 25) // 5)
    )
    assert layout_problems(figure) == []


@pytest.mark.parametrize("known", [True, False])
def test_components_of_long_names_fit(known: bool) -> None:
    rows = [component_row(name, known=known) for name in LONG]
    figure = figure_of(partial(group_eigenkernels, rows=rows, size=(3, 3)), 0.9 + 0.57 * len(rows))
    assert layout_problems(figure) == []


def seen_texts(draw: Any, height: float = 4.5) -> list[str]:
    with laid_out(figure_of(draw, height)) as canvas:
        return [text.get_text() for text in texts_of(canvas)]


@pytest.mark.parametrize(("apart", "known", "said"), [(False, True, True), (True, True, False), (True, False, False)])
def test_directions_that_are_not_determined_are_said_to_be_so(apart: bool, known: bool, said: bool) -> None:
    row = component_row("all", apart=apart, known=known)
    drawn = seen_texts(partial(eigenkernels, row=row, size=(3, 3)))
    assert (NOT_DETERMINED in drawn) is said
    assert any(" to " in text for text in drawn) is known
    assert (NOT_DETERMINED in seen_texts(partial(group_eigenkernels, rows=[row], size=(3, 3)))) is said


def test_a_line_joins_the_components_that_are_not_told_apart() -> None:
    row = ComponentRow(name="g", vectors=np.eye(5), shares=[0.2] * 5, low=None, high=None, runs=[[1, 2, 3]])
    with laid_out(figure_of(partial(group_eigenkernels, rows=[row], size=(5,)))) as canvas:
        (line, _) = canvas.axes[0].lines  # the other one is that of the legend
        assert [round(float(x)) for x in line.get_xdata()] == [1, 3]


@pytest.mark.parametrize(
    ("groups", "known"), [(LONG[:1], False), (LONG[:7], True), ([str(i) for i in range(12)], True)]
)
def test_shares_of_groups_fit(groups: list[str], known: bool) -> None:
    draw = partial(
        variance_shares, overall=component_row("all", known=known), rows=table_rows(groups, 9, known), ordered=False
    )
    assert layout_problems(figure_of(draw, 1.5 + 2 * (0.3 + 0.2 * len(groups)))) == []


@pytest.mark.parametrize(("groups", "components"), [(LONG[:1], 2), (LONG[:7], 9), ([str(i) for i in range(12)], 9)])
def test_ridges_fit_and_have_medians(groups: list[str], components: int) -> None:
    draw = partial(ridges, rows=ridge_rows(groups, components), groups=groups, ordered=True)
    figure = figure_of(draw, 0.6 + (0.55 + 0.2 * len(groups)) * -(-min(components, 6) // 3))
    assert layout_problems(figure) == []
    with laid_out(figure) as canvas:
        medians = [line for line in canvas.axes[1].lines if line.get_linewidth() == 1.4]
        assert [line.get_xdata()[0] for line in medians] == [0.0] * len(groups)


def test_planes_of_no_kernels_of_one_and_of_many_fit() -> None:
    one = np.zeros((64, 64))
    one[40, 20] = 3
    many = np.random.default_rng(0).poisson(0.2, (64, 64)).astype(float)
    assert layout_problems(figure_of(partial(phenotypes, counts=many, bound=3.3, middle=(0.0, 0.1)), 5.0)) == []
    assert layout_problems(figure_of(partial(phenotypes, counts=one, bound=3.3, middle=(0.0, 0.1)), 5.0)) == []
    planes = {name: (one if i else many, (0.0, 0.0)) for i, name in enumerate(LONG[:7])}
    assert layout_problems(figure_of(partial(group_phenotypes, planes=planes, bound=3.3), 0.5 + 1.75 * 3)) == []


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_colors_of_ordered_groups_run_from_dark_to_light_and_are_seen_on_the_paper(theme: Theme) -> None:
    def draw(canvas: Any) -> None:
        colors.extend(group_colors(10, ordered=True))

    colors: list[str] = []
    with laid_out(figure_of(draw), theme):
        pass
    lightness = [luminance(color) for color in colors]
    assert lightness == sorted(lightness)
    assert len(set(colors)) == 10
    paper = luminance(theme.paper)
    assert all((max(paper, value) + 0.05) / (min(paper, value) + 0.05) > 2.4 for value in lightness)


def luminance(color: str) -> float:
    values = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
