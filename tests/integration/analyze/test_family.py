"""A network of another kind of kernels, planted in a family, is found; without it, none is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from filtercrawl_analysis.plots.family import family_strips, largest_families, strips_height
from support.figure_layout import figure_of, layout_problems
from support.synthetic_datasets import EDGES, SMOOTH, Net, analysed, net, plant, rows


def networks() -> list[Net]:
    """A family of 20 networks and one unlike them, a family of two, and a network of no family."""
    nets = [net(f"n{i:02}", SMOOTH, i, family="smooth") for i in range(20)]
    nets += [net("odd", EDGES, 90, family="smooth"), net("p", SMOOTH, 91, family="pair")]
    return [*nets, net("q", SMOOTH, 92, family="pair"), net("none", SMOOTH, 93)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("families"), networks())


def test_the_planted_network_differs_from_its_family(dataset: Path) -> None:
    result = analysed("family", dataset)
    found = {str(row["model_id"]): row for row in rows(result, "family_distance")}
    assert len(found) == 23
    assert [name for name, row in found.items() if row["verdict"] == "differs"] == ["acme/odd"]
    odd: dict[str, Any] = found["acme/odd"]
    assert (odd["family"], odd["rank"], odd["models"], odd["kernels"], odd["layers"]) == ("smooth", 1, 21, 512, 2)
    assert found["acme/p"]["distance"] == found["acme/q"]["distance"], "of two models, each is as far from the other"
    (finding,) = result.findings
    assert "acme/odd" in str(finding)
    assert "1 of 21 models differs" in str(finding)


def test_results_depend_on_nothing_but_the_seed(dataset: Path) -> None:
    first, again, other = (rows(analysed("family", dataset, seed=seed), "family_distance") for seed in (0, 0, 1))
    assert first == again
    assert [row["distance"] for row in first] == [row["distance"] for row in other], (
        "models of one size are not thinned"
    )


def test_without_families_there_is_nothing_to_compare(tmp_path: Path) -> None:
    result = analysed("family", plant(tmp_path, [net("a", SMOOTH, 1), net("b", SMOOTH, 2, family="f")]))
    assert result.tables == ()
    assert "no two models of one family" in result.note


@pytest.mark.parametrize(("families", "models"), [(1, 3), (14, 3), (3, 400)])
def test_figures_fit(families: int, models: int) -> None:
    every = [
        {
            "family": f"{'long-' * 6}{family}-🚀",
            "model_id": f"organization/{'long-' * 12}{i}-🚀",
            "distance": 0.01 * (i + 1) ** 1.1,
            "verdict": "differs" if i > 397 else "no difference found",
        }
        for family in range(families)
        for i in range(models)
    ]
    chosen = largest_families(every)
    assert len(chosen) == min(families, 12)
    draw = partial(family_strips, families=chosen)
    assert layout_problems(figure_of(draw, strips_height(chosen))) == []
