"""The sentence on the model that is farthest from its family, for every outcome."""

from __future__ import annotations

from typing import Any

from filtercrawl.api.analysis import CitedRows
from filtercrawl_analysis.analyses.family_findings import family_findings


def row(model: str, verdict: str, distance: float | None, **values: Any) -> dict[str, Any]:
    tested = verdict != "too little to tell"
    return {
        "model_id": model,
        "family": "resnet",
        "kernel": "3x3",
        "verdict": verdict,
        "distance": distance,
        "models": 24 if tested else 9,
        "others_median": 0.05,
        "others_low": 0.02,
        "others_high": 0.1,
        "times_median": None if distance is None else distance / 0.05,
        "p": 0.4 if tested else None,
        "q": 0.9 if tested else None,
        **values,
    }


def test_models_that_differ_are_counted_and_the_clearest_is_named() -> None:
    rows = [
        row("a", "differs", 0.4, p=1e-4, q=0.002),
        row("b", "no difference found", 0.1),
        row("c", "differs", 1.25, p=1e-5, q=0.0003),
    ]
    (finding,) = family_findings(rows, "family_distance")
    assert finding.text == (
        "In their 3x3 kernels, 2 of 3 models differ from the rest of their family (q <= 0.05). The clearest: c, "
        "distance 1.25 (25 times the median of the others) from the rest of resnet (24 models), whose own distances "
        "have the median 0.05 and range from 0.02 to 0.1; q = 0.0003."
    )
    assert finding.row == 2
    assert finding.estimate is not None
    assert (finding.estimate.value, finding.estimate.q) == (1.25, 0.0003)
    assert finding.cited_rows == (CitedRows(table="family_distance", where={"kernel": "3x3", "verdict": "differs"}),)
    (finding,) = family_findings(rows[1:], "family_distance")
    assert finding.cited_rows == ()


def test_where_none_differs_the_least_likely_is_named() -> None:
    rows = [row("a", "no difference found", 0.1, p=0.03), row("b", "no difference found", 0.2)]
    (finding,) = family_findings(rows, "family_distance")
    assert finding.text.startswith(
        "In their 3x3 kernels, none of 2 models is told apart from the rest of its family. The least likely: a,"
    )


def test_of_small_families_the_farthest_is_named_without_a_verdict() -> None:
    rows = [
        row("a", "too little to tell", 0.1),
        row("b", "too little to tell", 0.3),
        row("c", "differs", 9, kernel="5"),
    ]
    (finding,) = family_findings(rows, "family_distance")
    assert finding.text == (
        "1 family has too few models to tell whether the 3x3 kernels of one differ. Farthest, compared with the "
        "others: b, distance 0.3 (6 times the median of the others) from the rest of resnet (9 models), whose own "
        "distances have the median 0.05 and range from 0.02 to 0.1."
    )
    assert finding.row == 1
    assert finding.estimate is not None
    assert (
        finding.estimate.label == "distance D of b from the other models of resnet (6 times the median of the others)"
    )
    assert finding.estimate.note == "median of the others 0.05, up to 0.1; too few models for a verdict"


def test_small_families_have_a_finding_beside_that_of_large_ones() -> None:
    rows = [
        row("a", "no difference found", 0.1),
        row("b", "too little to tell", 1.8, family="plant"),
        row("c", "too little to tell", 0.1, family="plant", times_median=None),
    ]
    large, small = family_findings(rows, "family_distance")
    assert (large.row, small.row) == (0, 2)
    assert "1 family has too few models" in small.text
    assert "c, distance 0.1 from the rest of plant" in small.text, "twins have a median of zero"


def test_nothing_is_said_of_pairs_and_of_models_without_a_distance() -> None:
    rows = [row("a", "too little to tell", 0.1, models=2), row("b", "too little to tell", None)]
    assert list(family_findings(rows, "family_distance")) == []
