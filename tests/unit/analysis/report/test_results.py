"""What results.json says of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl.api.analysis import AnalysisOptions, Estimate, Figure, Finding, Result, ResultTable, SampleSize
from filtercrawl_analysis.report.results import ReportInput, WrittenFiles, results_of_run
from filtercrawl_analysis.report.run_analyses import AnalysisRun


def written(result: Result) -> dict[str, Any]:
    """Return what results.json says of an analysis with this result."""
    section = AnalysisRun(name="a", title="A", reads_kernels=False, result=result, seconds=0.0)
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
    files = WrittenFiles(row_counts={table.name: table.rows.num_rows for table in result.tables})
    found: dict[str, Any] = json.loads(json.dumps(results_of_run(content, files), allow_nan=False))["analyses"][0]
    return found


def written_estimate(estimate: Estimate) -> dict[str, Any] | None:
    found: dict[str, Any] | None = written(Result(findings=(Finding(text="x", estimate=estimate),)))["findings"][0][
        "estimate"
    ]
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


def test_rows_and_sizes_of_numpy_are_numbers() -> None:
    counts: Any = {"kernels": np.int64(9), "layers": np.int32(2), "models": np.uint8(1)}
    size = SampleSize(**counts)
    at: Any = np.int64(1)
    finding = Finding(text="x", table="t", row=at, other_rows=(at,), basis=size)
    figure = Figure(
        name="f",
        title="F",
        caption="C",
        basis=size,
        table="t",
        draw=lambda _: None,
        width=np.float32(3),  # type: ignore[arg-type]
    )
    table = ResultTable(name="t", title="T", rows=pa.table({"name": ["a", "b"]}))
    found = written(Result(tables=(table,), figures=(figure,), findings=(finding,)))
    assert found["findings"][0]["row"] == 1
    assert found["findings"][0]["other_rows"] == [{"row": 1, "key": {"name": "b"}}]
    assert found["findings"][0]["basis"] == found["figures"][0]["basis"] == {"kernels": 9, "layers": 2, "models": 1}
    assert found["figures"][0]["width"] == 3.0
