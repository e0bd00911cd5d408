"""What the page says of components and shape of planted networks: higher, lower, not told apart, too little to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.api.analysis import Finding, Result
from support.synthetic_datasets import EDGES, SMOOTH, Net, analysed, net, plant, rows


def nets(models: int, laws: dict[str, dict[int, float]]) -> list[Net]:
    """Return networks of two layers each; those of the second and later tasks have more layers, so sizes confound."""
    return [
        net(f"{task}{i}", spectrum, 100 * t + i, layers=2 + 2 * t, task=task)
        for t, (task, spectrum) in enumerate(laws.items())
        for i in range(models)
    ]


@pytest.fixture(scope="module")
def different(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("different"), nets(8, {"smooth": dict(SMOOTH), "edges": {**EDGES, 8: 1.0}}))


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("equal"), nets(8, {"a": dict(SMOOTH), "b": dict(SMOOTH)}))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("few"), nets(2, {"a": dict(SMOOTH), "b": dict(EDGES)}))


def told(result: Result, start: str) -> tuple[str, dict[str, object]]:
    """Return the finding that starts so, and its row."""
    (finding,) = [f for f in result.findings if isinstance(f, Finding) and f.text.startswith(start)]
    assert finding.table is not None
    assert finding.row is not None
    return finding.text, rows(result, finding.table)[finding.row]


def test_components_of_equal_variance_are_named_and_others_are_not(equal: Path) -> None:
    result = analysed("eigenkernels", equal, by=("task",))
    text, row = told(result, "The first components of 3x3 kernels explain ")
    assert row["component"] == 0
    assert f"{row['explained_variance']:.1%} [{row['low']:.1%}, {row['high']:.1%}]" in text
    # Of SMOOTH, the first component stands alone, two are equal, and six are white noise.
    assert text.endswith("Nearly equal, so that their order and directions are not determined: c1 and c2; c3 to c8.")
    assert [r["distinct"] for r in rows(result, "eigenkernels")] == [True] + [False] * 8


def test_groups_of_one_law_are_not_told_apart_whatever_their_sizes(equal: Path) -> None:
    text, row = told(analysed("eigenkernels", equal, by=("task",)), "By task, ")
    assert "is not told apart for any of 2 groups" in text
    assert row["verdict"] == "not told apart"
    text, row = told(analysed("shape", equal, by=("task",)), "By task, ")
    assert "is not told apart for any of 2 groups" in text
    assert (row["verdict"], row["measure"]) == ("not told apart", "low_share")


def test_groups_of_different_laws_are_told_apart_in_the_right_direction(different: Path) -> None:
    result = analysed("eigenkernels", different, by=("task",))
    text, row = told(result, "By task, ")
    assert "is told apart for 2 of 2 groups" in text
    assert row["verdict"] in text
    first = {r["group"]: r["verdict"] for r in rows(result, "explained_variance") if r["component"] == 0}
    assert set(first.values()) == {"higher", "lower"}
    shape = analysed("shape", different, by=("task",))
    text, row = told(shape, "By task, the energy of 3x3 kernels at low frequencies is told apart for 2 of 2 groups")
    assert f"most clearly for {row['group']}: {row['median']:.0%}" in text
    verdicts = {
        r["group"]: r["verdict"]
        for r in rows(shape, "shape_medians")
        if r["measure"] == "low_share" and r["column"] == "task"
    }
    assert verdicts == {"smooth": "higher", "edges": "lower"}


def test_few_models_tell_too_little(few: Path) -> None:
    for name in ("eigenkernels", "shape"):
        text, row = told(analysed(name, few, by=("task",)), "By task, ")
        assert text.endswith("cannot be compared: no group has enough models.")
        assert (row["verdict"], row["q"]) == ("too little to tell", None)


def test_layers_are_compared_with_random_weights(equal: Path, few: Path, tmp_path: Path) -> None:
    text, row = told(analysed("shape", equal), "In the median model (16 models), ")
    assert row["against_random"] == "higher"
    assert text.endswith("of the energy of 3x3 kernels lies at low frequencies: more than the 44% of random weights.")
    text, row = told(analysed("shape", few), "In the median model (4 models), ")
    assert row["low"] is None
    assert text.endswith("too few models to compare with the 44% of random weights.")
    noise = plant(tmp_path, nets(10, {"noise": {}}))
    text, _ = told(analysed("shape", noise), "In the median model (10 models), ")
    assert text.endswith("not told apart from the 44% of random weights.")


def test_one_model_has_no_intervals(tmp_path: Path) -> None:
    result = analysed("eigenkernels", plant(tmp_path, nets(1, {"a": dict(SMOOTH)})))
    text, row = told(result, "The first components of 3x3 kernels explain ")
    assert (row["low"], row["high"], row["distinct"]) == (None, None, None)
    assert text.endswith("Too few models for intervals, so it is unknown which components are determined.")
