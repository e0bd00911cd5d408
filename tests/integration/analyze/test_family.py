"""A network of another kind of kernels, planted in a family, is found; without it, none is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from filtercrawl_analysis.plots.family import family_strips, largest_families, strips_height
from filtercrawl_analysis.run.analyze import analyze
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


def distance_from_tables(dataset: Path, kernel: str, members: Sequence[str]) -> NDArray[np.float64]:
    """The formula of docs/analyses.md, from what a dataset publishes; models of equal size are not thinned."""
    tables = dataset / "analysis/tables"
    layers = pd.read_parquet(tables / "layer_quality.parquet", columns=["model_id", "layer_sha256", "kernel"])
    sketches = pd.read_parquet(dataset / "data/sketches", columns=["layer_sha256", "kernel", "histogram"])
    basis = pd.read_parquet(tables / "drift_basis.parquet")
    of_size = layers[layers.kernel == kernel].merge(sketches, on=["layer_sha256", "kernel"])
    histograms = of_size.groupby("model_id").histogram.agg(lambda lists: np.stack(list(lists)).sum(0))
    w = basis[basis.kernel == kernel].sort_values("component").weight.to_numpy()
    h = np.stack([histograms[member].reshape(len(w), 70) for member in members])
    distances = []
    for i in range(len(h)):
        distance = 0.0
        for c in range(len(w)):
            filled = h[:, c].sum(0) > 0
            own, others = h[i, c, filled] + 0.5, np.delete(h[:, c], i, 0).sum(0)[filled] + 0.5
            p, q = own / own.sum(), others / others.sum()
            distance += w[c] * float(((p - q) * np.log(p / q)).sum())
        distances.append(distance)
    return np.array(distances)


def test_distances_follow_from_the_published_tables_alone(dataset: Path, tmp_path: Path) -> None:
    analyzed = tmp_path / "dataset"
    shutil.copytree(dataset, analyzed)
    analyze(analyzed, by=("family",), only=["drift", "degeneracy", "family"])
    published = pd.read_parquet(analyzed / "analysis/tables/family_distance.parquet")
    members = published[published.family == "smooth"].set_index("model_id")
    assert (members.kernels == members.tested_kernels).all()
    expected = distance_from_tables(analyzed, "3x3", list(members.index))
    np.testing.assert_allclose(members.distance, expected, rtol=1e-9)
    np.testing.assert_allclose(members.times_median, members.distance / members.others_median, rtol=1e-12)


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
