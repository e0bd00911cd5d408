"""Analyses that run once for every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from filtercrawl.api.analysis import DatasetView, Result, ResultTable, TrainingStep
from filtercrawl_analysis.report.along_steps import AlongSteps


@dataclass
class Counting:
    """An analysis that gives one table: as many rows as its dataset says."""

    streamed: bool
    name: str = "counting"
    title: str = "Counts"

    def run(self, dataset: Any) -> Result:
        rows = pa.table({"x": pa.array(range(dataset.n), pa.int64())})
        batches = (lambda: iter(rows.to_batches())) if self.streamed else None
        return Result(tables=(ResultTable(name="t", title="T", rows=rows, batches=batches),))


@dataclass
class Step:
    n: int


class View:
    """A dataset with steps of so many rows."""

    def __init__(self, *rows: int) -> None:
        self._rows = rows

    def steps(self) -> list[TrainingStep]:
        return [
            TrainingStep(run_id="r", step=i, model_id=f"m{i}", dataset=Step(n))  # type: ignore[arg-type]
            for i, n in enumerate(self._rows)
        ]

    def progress(self, done: int, total: int, what: str) -> None:
        assert done <= total


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("rows", [(0, 2), (0, 0), (2, 1)])
def test_columns_have_the_same_types_also_where_a_step_has_no_rows(rows: tuple[int, ...], streamed: bool) -> None:
    view: DatasetView = View(*rows)  # type: ignore[assignment]
    (table,) = AlongSteps(inner=Counting(streamed)).run(view).tables
    expected = pa.schema([("run_id", pa.string()), ("step", pa.int64()), ("x", pa.int64())])
    found = pa.Table.from_batches(table.batches(), expected) if table.batches else table.rows
    assert table.rows.schema == found.schema == expected
    assert found["step"].to_pylist() == [step for step, n in enumerate(rows) for _ in range(n)]
