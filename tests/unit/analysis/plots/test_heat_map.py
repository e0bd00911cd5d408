"""Heat maps of drift: what is marked, in which order groups stand, and that any names and numbers of groups fit."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from numpy.typing import NDArray

from filtercrawl_analysis.plots.heat_map import (
    DriftMatrix,
    cluster_order,
    drift_matrix,
    heat_map,
    heat_map_height,
)
from filtercrawl_analysis.plots.render import laid_out
from support.figure_layout import figure_of


def matrix(
    names: list[str], verdicts: dict[tuple[str, str], str], drift: NDArray[np.float64] | None = None
) -> DriftMatrix:
    count = len(names)
    if drift is None:
        drift = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) / 7.0
    return drift_matrix(names, [i + 1 for i in range(count)], drift, verdicts)


def drawn_marks(given: DriftMatrix) -> tuple[set[tuple[int, int]], int, list[str]]:
    """The cells with a dot, the number of hatched cells, and the numbers in cells."""
    figure = figure_of(partial(heat_map, matrix=given, column="task"), heat_map_height(len(given.names)))
    with laid_out(figure) as canvas:
        axes = canvas.axes[0]
        dots = {(round(float(x) - 0.2), round(float(y) + 0.2)) for line in axes.lines for x, y in line.get_xydata()}
        hatched = [item for item in axes.collections if isinstance(item, PathCollection)]
        assert all(item.get_hatch() for item in hatched)
        corners = sum(len(path.vertices) for item in hatched for path in item.get_paths())
        return dots, corners // 5, [text.get_text() for text in axes.texts]


def test_what_differs_has_a_dot_and_what_is_not_known_is_hatched_and_never_zero() -> None:
    verdicts = {("a", "b"): "differs", ("c", "a"): "too little to tell", ("b", "c"): "no difference found"}
    drift = np.array([[0, 0.5, 0.25, np.nan], [0.5, 0, 1.5, 12], [0.25, 1.5, 0, 3], [np.nan, 12, 3, 0]])
    dots, hatched, numbers = drawn_marks(matrix(["a", "b", "c", "d"], verdicts, drift))
    assert dots == {(0, 1), (1, 0)}
    assert hatched == 4  # a and c, a and d: in both halves
    assert numbers == [".50", ".25", ".50", "1.5", "12", ".25", "1.5", "3.0", "12", "3.0"]


def test_similar_groups_are_neighbors() -> None:
    drift = np.array([[0, 9, 1, 9], [9, 0, 9, 1], [1, 9, 0, 9], [9, 1, 9, 0.0]])
    order = cluster_order(drift)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    assert order.index(0) < 2


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 12), st.randoms(use_true_random=False))
def test_every_group_has_one_place(count: int, random: object) -> None:
    values = np.array([[random.choice([0.0, 1.0, 2.5, np.nan]) for _ in range(count)] for _ in range(count)])  # type: ignore[attr-defined]
    assert sorted(cluster_order(values.reshape(count, count))) == list(range(count))


def test_clustering_a_chain_restores_it() -> None:
    random = np.random.default_rng(0)
    places = np.linspace(0, 1, 20)
    shuffled = random.permutation(20)
    drift = np.abs(np.subtract.outer(places[shuffled], places[shuffled]))
    found = shuffled[cluster_order(drift)]
    assert abs(np.diff(found)).max() == 1


def test_groups_without_any_known_drift_can_be_drawn() -> None:
    dots, hatched, numbers = drawn_marks(matrix(["a", "b", "c"], {}, np.full((3, 3), np.nan)))
    assert (dots, hatched, numbers) == (set(), 6, [])
