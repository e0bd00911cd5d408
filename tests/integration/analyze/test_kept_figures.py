"""Figures that are drawn from what they were drawn from before are not drawn again, and have the same bytes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import pytest

from filtercrawl.api.analysis import Figure, SampleSize
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl_analysis import plots
from filtercrawl_analysis.plots.step_curves import draw_step_curves
from filtercrawl_analysis.report import drawn_figures, kept_figures
from filtercrawl_analysis.report.drawn_figures import DrawnFigure, FigureProblem, draw_figure
from filtercrawl_analysis.report.kept_figures import KeptFigures, figure_key

T = TypeVar("T")
R = TypeVar("R")


def curve(run: str, median: float) -> dict[str, Any]:
    return {"run_id": run, "column": "sparsity", "steps": [0, 100], "quartiles": [[median, 0.1]] * 3}


def figure(name: str, median: float = 0.5) -> Figure:
    return Figure(
        name=name,
        title=name,
        caption="",
        basis=SampleSize(kernels=1, layers=1, models=1),
        table="t",
        draw=partial(draw_step_curves, curves=[curve("run", median)]),
        width=2,
        height=2,
    )


class Drawn:
    """Draws and counts."""

    def __init__(self, dataset: Path) -> None:
        self.dataset = dataset
        self.names: list[str] = []

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        for item in items:
            self.names.append(item.name)  # type: ignore[attr-defined]
            yield function(item)

    def draw(self, figures: Sequence[Figure], *, forget: bool = True) -> list[DrawnFigure | FigureProblem]:
        self.names = []
        return list(KeptFigures(self.dataset, self.map, lambda *_: None, forget_others=forget).draw(figures))


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    (tmp_path / HIDDEN).mkdir()
    return Drawn(tmp_path)


def kept(dataset: Path) -> list[Path]:
    return sorted((dataset / HIDDEN / "results/figures").iterdir())


def test_only_new_and_changed_figures_are_drawn_and_the_others_have_the_same_bytes(drawn: Drawn) -> None:
    first = drawn.draw([figure("a"), figure("b")])
    assert drawn.names == ["a", "b"]
    assert first[0] == draw_figure(figure("a"))
    again = drawn.draw([figure("a"), figure("c"), figure("b", median=0.25)])
    assert drawn.names == ["c", "b"]
    assert again[0] == first[0]
    assert again[2] == draw_figure(figure("b", median=0.25)) != first[1]
    assert len(kept(drawn.dataset)) == 3


def test_others_are_kept_where_they_are_not_forgotten(drawn: Drawn) -> None:
    drawn.draw([figure("a")])
    drawn.draw([figure("b")], forget=False)
    assert len(kept(drawn.dataset)) == 2
    drawn.draw([figure("a")])
    assert drawn.names == []


def test_a_damaged_file_is_drawn_again(drawn: Drawn) -> None:
    first = drawn.draw([figure("a")])
    (path,) = kept(drawn.dataset)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert drawn.draw([figure("a")]) == first
    assert drawn.names == ["a"]  # where all others are drawn
    drawn.draw([figure("a")])
    assert drawn.names == []


def test_equal_figures_have_one_key_whatever_objects_they_share() -> None:
    shared = curve("run", 0.5)
    of_one = replace(figure("a"), draw=partial(draw_step_curves, curves=[shared, shared]))
    of_two = replace(figure("a"), draw=partial(draw_step_curves, curves=[curve("run", 0.5), curve("run", 0.5)]))
    assert figure_key(of_one) == figure_key(of_two) is not None
    assert figure_key(replace(of_one, width=3)) != figure_key(of_one)


def test_a_figure_of_what_refers_to_itself_is_not_kept() -> None:
    endless = curve("run", 0.5)
    endless["self"] = endless
    assert figure_key(replace(figure("a"), draw=partial(draw_step_curves, curves=[endless]))) is None


def test_the_key_is_of_all_code_that_draws() -> None:
    sources = [Path(plots.__file__).parent.rglob("*.py"), [Path(drawn_figures.__file__)]]
    names = {name for path in chain(*sources) for name in imported(path)}
    ours = {name.partition(".")[0] for name in names if name.startswith("filtercrawl")}
    assert ours == set(kept_figures._PACKAGES)
    others = {name.partition(".")[0] for name in names} - ours - sys.stdlib_module_names
    assert {{"PIL": "pillow"}.get(name, name) for name in others} <= set(kept_figures._LIBRARIES)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_figures_of_other_code_and_those_that_fail_are_not_kept(drawn: Drawn) -> None:
    of_plugin = replace(figure("a"), draw=lambda canvas: canvas.suptitle("text"))
    broken = replace(figure("b"), draw=partial(draw_step_curves, curves=[{}]))
    for _ in range(2):
        assert isinstance(drawn.draw([of_plugin, broken])[1], FigureProblem)
        assert drawn.names == ["a", "b"]


def test_a_folder_that_may_not_be_written_keeps_nothing(tmp_path: Path) -> None:
    drawn = Drawn(tmp_path)  # without the hidden folder
    assert drawn.draw([figure("a")]) == [draw_figure(figure("a"))]
    assert list(tmp_path.iterdir()) == []
