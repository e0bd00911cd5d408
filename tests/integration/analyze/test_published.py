"""Published values beside those of a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl_analysis import analyze
from support.report_page import Page
from support.synthetic_datasets import EDGES, SMOOTH, analysed, net, plant, rows


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tasks = ("image-classification", "image-segmentation", "image-to-image")
    nets = [
        net(f"{task}{i}", EDGES if t else SMOOTH, 10 * t + i, task=task)
        for t, task in enumerate(tasks)
        for i in range(3)
    ]
    return plant(tmp_path_factory.mktemp("published"), nets)


@pytest.mark.parametrize("exact", [False, True])
def test_values_are_those_of_the_other_analyses(planted: Path, *, exact: bool) -> None:
    found = rows(analysed("published", planted, exact=exact), "published")
    components = rows(analysed("eigenkernels", planted), "eigenkernels")
    shares = [row for row in found if row["what"] == "explained_variance"]
    assert [row["ours"] for row in shares] == [row["explained_variance"] for row in components]
    assert [row["ours"] for row in found if row["what"] == "mean"] == components[0]["mean"]
    assert all(row["comparable"] for row in found if not str(row["what"]).startswith("drift"))
    (pair,) = [row for row in found if str(row["what"]).startswith("drift")]
    assert {pair["group_a"], pair["group_b"]} == {"image-classification", "image-segmentation"}
    assert (pair["published"], pair["tolerance"]) == (0.053, 0.005)
    assert (pair["mode"], pair["comparable"]) == (("exact", True) if exact else ("sketch", False))
    drifts = rows(analysed("drift", planted, by=("task",), exact=exact, resamples=0), "drift_task")
    same = [row for row in drifts if {row["group_a"], row["group_b"]} == {pair["group_a"], pair["group_b"]}]
    assert [row["drift"] for row in same] == [pytest.approx(pair["ours"], rel=1e-12)]
    assert [row["floor"] for row in same] == [pytest.approx(pair["ours_floor"], rel=1e-9)]


def test_the_page_warns_where_a_reader_would_compare(planted: Path) -> None:
    report = analyze(planted, only=["published"], progress=False)
    text = Page.read(report.page).text
    assert "It is not the D of arXiv 2203.15331" in text
    assert "filtercrawl analyze --exact gives the paper's D." in text
    assert any(finding.endswith("(not comparable: another basis and range).") for finding in report.findings)
    exact = analyze(planted, only=["published"], exact=True, progress=False)
    text = Page.read(exact.page).text
    assert "D is that of arXiv 2203.15331" in text
    assert "Do not compare" not in text


def test_a_dataset_without_such_groups_has_components_only(tmp_path: Path) -> None:
    found = rows(analysed("published", plant(tmp_path, [net("a", SMOOTH, 1)])), "published")
    assert {row["what"] for row in found} == {"explained_variance", "mean"}
