"""What results.json says of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from filtercrawl.api.analysis import AnalysisOptions, Estimate, Finding, Result, SampleSize
from filtercrawl_analysis.report.results import ReportInput, WrittenFiles, results_of_run
from filtercrawl_analysis.report.run_analyses import AnalysisRun


def written_estimate(estimate: Estimate) -> dict[str, Any] | None:
    section = AnalysisRun(
        name="a", title="A", reads_kernels=False, result=Result(findings=(Finding(text="x", estimate=estimate),)),
        seconds=0.0,
    )  # fmt: skip
    content = ReportInput(
        dataset_id="d",
        dataset_state="s",
        version="1",
        made=datetime(2026, 1, 1, tzinfo=UTC),
        options=AnalysisOptions(),
        basis=SampleSize(models=1, layers=1, kernels=1),
        selection={},
        coverage=(),
        sections=(section,),
    )
    results = json.loads(json.dumps(results_of_run(content, WrittenFiles()), allow_nan=False))
    found: dict[str, Any] | None = results["analyses"][0]["findings"][0]["estimate"]
    return found


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_unknown(value: float) -> None:
    assert written_estimate(Estimate(label="n", value=value)) is None
    found = written_estimate(Estimate(label="n", value=0.5, low=0.25, high=value, p=value))
    assert found is not None
    assert (found["value"], found["low"], found["high"], found["p"], found["q"]) == (0.5, 0.25, None, None, None)


def test_numbers_of_numpy_are_numbers() -> None:
    numbers: dict[str, Any] = {"value": np.float32(0.5), "low": np.int64(0), "q": np.float16(0.25)}
    found = written_estimate(Estimate(label="n", **numbers))
    assert found is not None
    assert (found["value"], found["low"], found["q"]) == (0.5, 0.0, 0.25)
