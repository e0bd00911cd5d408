"""The sentences on effective weights."""

from __future__ import annotations

from filtercrawl_analysis.analyses.effective_findings import effective_findings


def test_rows_without_a_test_are_not_counted_as_one() -> None:
    steps = [{"steps": "batch_norm", "layers": 2, "share": 0.5}]
    row = {"column": "all", "kernel": "3x3", "drift": 0.5, "estimate": None, "low": None, "high": None, "models": 3}
    tested = {**row, "verdict": "differs", "q": 0.01, "detectable": None, "note": None}
    untested = {**tested, "column": "family", "verdict": "too little to tell", "q": None}
    drift = str(list(effective_findings(steps, [tested, untested, tested], []))[1])
    assert drift.endswith("(D 0.500, 3 models; q <= 0.05 among 2 tests).")


def test_an_interval_is_stated_with_the_estimate_that_it_is_of() -> None:
    steps = [{"steps": "batch_norm", "layers": 2, "share": 0.5}]
    row = {
        "column": "all", "kernel": "3x3", "models": 3, "verdict": "differs", "q": 0.01, "detectable": None,
        "note": None, "drift": 0.5, "estimate": 0.25, "low": 0.125, "high": 0.375,
    }  # fmt: skip
    finding = list(effective_findings(steps, [row], []))[1]
    assert finding.estimate is not None
    assert (finding.estimate.value, finding.estimate.low, finding.estimate.high) == (0.25, 0.125, 0.375)
    assert "D 0.500, estimated drift 0.250 with the 95 % interval from 0.125 to 0.375, 3 models" in finding.text
