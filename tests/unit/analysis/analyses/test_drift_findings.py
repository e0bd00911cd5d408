"""The sentences on drift, for every outcome of a table."""

from __future__ import annotations

from typing import Any

from filtercrawl_analysis.analyses.drift_findings import drift_findings
from filtercrawl_analysis.analyses.drift_tables import DriftTables


def row(a: str, b: str, verdict: str, **values: Any) -> dict[str, Any]:
    known = verdict != "too little to tell"
    base = {
        "kernel": "3x3",
        "group_a": a,
        "group_b": b,
        "verdict": verdict,
        "drift": 0.3,
        "floor": 0.012,
        "estimate": 0.25,
        "low": 0.1 if verdict == "differs" else 0.0,
        "high": 0.4,
        "p": 0.001 if verdict == "differs" else 0.4,
        "q": 0.004 if verdict == "differs" else 0.4 if known else None,
        "detectable": 0.07 if verdict == "no difference found" else None,
        "note": None if known else "10 assignments of models: p cannot be below 0.1",
        "models_a": 1,
        "models_b": 9,
        "kernels_a": 1200,
        "kernels_b": 30,
    }
    return base | values


def said(
    plain: list[dict[str, Any]], matched: list[dict[str, Any]] | None = None
) -> list[tuple[str, str | None, int | None]]:
    tables = [DriftTables(column="task", plain=plain, matched=matched or [])]
    return [(finding.text, finding.table, finding.row) for finding in drift_findings(tables)]


def test_a_difference_is_told_with_all_its_numbers() -> None:
    plain = [
        row("x", "y", "too little to tell"),
        row("x", "z", "differs", estimate=0.2),
        row("y", "z", "differs", estimate=0.25),
        row("v", "w", "no difference found"),
    ]
    assert said(plain) == [
        (
            "3x3 kernels differ in 2 of 4 pairs of groups by task (q <= 0.05, 3 tests). The largest of these "
            "differences is between y (1 model, 1,200 kernels) and z (9 models, 30 kernels): D = 0.3 where equal "
            "distributions would give 0.012; estimated drift 0.25, 95 % interval 0.1 to 0.4; q = 0.004. In 1 of 4 no "
            "difference was found. For 1 of 4 there is too little to tell.",
            "drift_task",
            2,
        )
    ]


def test_a_matched_difference_is_told_for_the_same_pair() -> None:
    strata = {"matched_by": "architecture", "strata": 2}
    matched = [row("x", "y", "differs", **strata), row("x", "z", "no difference found", **strata)]
    (_, second) = said([row("x", "z", "differs")], matched)
    text, table, position = second
    assert text.startswith("With the 2 architectures that both have matched, no difference is found between x (1 model")
    assert text.endswith("A drift of 0.07 would have been found with a probability of 80 %.")
    assert (table, position) == ("drift_matched_task", 1)
    family = [row("x", "z", "too little to tell", matched_by="family", strata=2)]
    assert said([row("x", "z", "differs")], family)[1][0].startswith(
        "With the 2 families that both have matched, there is too little to tell between x"
    )


def test_no_pair_differs_is_said_only_where_every_pair_was_tested() -> None:
    tested = [row("x", "y", "no difference found"), row("x", "z", "no difference found", p=0.2, estimate=None)]
    ((text, _, position),) = said(tested)
    assert text == (
        "No difference was found between 3x3 kernels in any of 2 pairs of groups by task (2 tests). The "
        "smallest p-value is that of x (1 model, 1,200 kernels) and z (9 models, 30 kernels): D = 0.3 where equal "
        "distributions would give 0.012; q = 0.4. A drift of 0.07 would have been found with a probability of 80 %."
    )
    assert position == 1
    ((text, _, _),) = said([*tested, row("y", "z", "too little to tell")])
    assert text.startswith("No difference was found between 3x3 kernels in 2 of 3 pairs of groups by task (2 ")
    assert text.endswith("For 1 of 3 there is too little to tell.")


def test_too_little_to_tell_is_told_with_its_reason() -> None:
    ((text, _, position),) = said([row("x", "y", "too little to tell"), row("x", "z", "too little to tell", drift=0.5)])
    assert text.startswith(
        "There is too little to tell whether 3x3 kernels differ in any of 2 pairs of groups by task."
    )
    assert text.endswith(": 10 assignments of models: p cannot be below 0.1.")
    assert position == 1


def test_the_number_of_a_finding_is_the_estimate_of_its_row() -> None:
    (finding,) = drift_findings([DriftTables(column="task", plain=[row("x", "z", "differs")], matched=[])])
    estimate = finding.estimate
    assert estimate is not None
    assert (estimate.value, estimate.low, estimate.high, estimate.q) == (0.25, 0.1, 0.4, 0.004)
    assert estimate.label == "estimated drift between x and z"
    assert finding.columns == ("task",)


def test_groups_that_are_numbers_or_positions_are_told_in_words() -> None:
    deciles = DriftTables(column="depth_decile", plain=[row("0", "9", "too little to tell", estimate=None)], matched=[])
    positions = DriftTables(column="position", plain=[row("first", "between", "differs")], matched=[])
    first, second = drift_findings([deciles, positions])
    assert "between depth decile 0 (1 model, 1,200 kernels) and depth decile 9 (9" in first.text
    assert first.estimate is not None
    assert first.estimate.label == "drift D between depth decile 0 and depth decile 9"
    assert first.estimate.value == 0.3
    assert "first layers (1 model, 1,200 kernels) and the layers in between (9" in second.text
    assert second.columns == ("is_first", "is_last")


def test_other_kernel_sizes_count_as_tests_but_are_not_told() -> None:
    plain = [row("x", "y", "differs"), row("x", "y", "differs", kernel="5x5", estimate=9.0)]
    ((text, _, position),) = said(plain)
    assert text.startswith("3x3 kernels differ between the two groups by task (q <= 0.05, 2 tests): x (1 model, ")
    assert position == 0
    assert said([]) == []
