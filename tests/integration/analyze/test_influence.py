"""One model left out: the numbers are those of a dataset that never had it, and the figures name who moves them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from matplotlib.ticker import PercentFormatter

from filtercrawl_analysis.plots.influence import influence_height, influence_panels
from support.figure_layout import figure_of, layout_problems
from support.synthetic_datasets import EDGES, SMOOTH, Net, analysed, net, plant, rows

BY = ("task", "family")


def networks() -> list[Net]:
    """Three networks of two tasks each; one is unlike the others."""
    nets = [net(f"n{i}", SMOOTH, i, task="a" if i < 3 else "b", family="f" if i % 2 else "g") for i in range(5)]
    return [*nets, net("odd", EDGES, 9, layers=3, task="b", family="g")]


@pytest.fixture(scope="module")
def influence(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    dataset = plant(tmp_path_factory.mktemp("all"), networks())
    result = analysed("influence", dataset, by=BY)
    assert [finding.rows for finding in result.findings if not isinstance(finding, str)]
    return rows(result, "influence")


@pytest.mark.parametrize("left_out", ["odd", "n1"])
def test_each_number_is_that_of_a_dataset_without_the_model(
    influence: list[dict[str, Any]], left_out: str, tmp_path: Path
) -> None:
    dataset = plant(tmp_path, [item for item in networks() if item.name != left_out])
    here = [row for row in influence if row["model_id"].endswith(left_out)]
    shares = {
        row["component"]: row["explained_variance"] for row in rows(analysed("eigenkernels", dataset), "eigenkernels")
    }
    drift = analysed("drift", dataset, by=BY, resamples=1)
    found = 0
    for row in here:
        if row["what"] == "explained_variance":
            assert row["without"] == pytest.approx(shares[row["component"]], rel=1e-9)
        else:
            pairs = rows(drift, f"drift_{row['column']}")
            (pair,) = (p for p in pairs if {p["group_a"], p["group_b"]} == {row["group_a"], row["group_b"]})
            assert row["without"] == pytest.approx(pair["drift"], rel=1e-9)
        assert row["change"] == pytest.approx(row["without"] - row["value"])
        found += 1
    assert found == 5  # three components, and the only pair of each of two columns


def test_the_model_that_is_unlike_the_others_comes_first(influence: list[dict[str, Any]]) -> None:
    first = influence[0]
    assert (first["what"], first["component"]) == ("explained_variance", 0)
    assert first["model_id"].endswith("odd")
    by_task = [row for row in influence if row["column"] == "task"]
    least = min(by_task, key=lambda row: row["change"])
    assert least["model_id"].endswith("odd")
    assert least["without"] < least["value"] / 2  # it alone makes the difference
    changes = [abs(row["change"]) for row in by_task]
    assert changes == sorted(changes, reverse=True)


def test_nothing_is_said_of_two_models(tmp_path: Path) -> None:
    result = analysed("influence", plant(tmp_path, networks()[:2]), by=BY)
    assert result.tables == ()
    assert "no kernel size of 3 models" in result.note


@pytest.mark.parametrize("models", [1, 3, 200])
def test_figures_fit(models: int) -> None:
    of_panel = [
        {"model_id": f"organization/{'long-' * 8}{i}-🚀", "value": 0.3, "without": 0.3 + i / 900, "change": i / 900}
        for i in range(models)
    ]
    nothing = [{"model_id": "m", "value": 0.3, "without": None, "change": None}]
    panels = [(f"by task: D = 0.{i}\n{'a' * 16} | {'b' * 16}", of_panel) for i in range(5)]
    panels.append(("by family", nothing))
    draw = partial(influence_panels, panels=panels, axis="drift without the model", formatter=PercentFormatter(1))
    assert layout_problems(figure_of(draw, influence_height(panels))) == []
