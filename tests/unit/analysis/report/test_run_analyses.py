"""Results that can be written, and analyses that fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl.api.analysis import CitedRows, DatasetView, Estimate, Figure, Finding, Result, ResultTable, SampleSize
from filtercrawl_analysis.analyses.registry import LazyAnalysis
from filtercrawl_analysis.report.result_validation import validate_result
from filtercrawl_analysis.report.run_analyses import result_summary, select_analyses

ROWS = pa.table({"x": [1]})


def table(name: str, rows: Any = ROWS) -> ResultTable:
    return ResultTable(name=name, title="T", rows=rows)


def figure(name: str, of_table: str) -> Figure:
    basis = SampleSize(kernels=1, layers=1, models=1)
    return Figure(name=name, title="F", caption="C", basis=basis, table=of_table, draw=lambda _: None)


def number(value: Any, **known: Any) -> Estimate:
    return Estimate(label="N", value=value, **known)


class FromAPlugin:
    """An analysis that says nothing about when it runs."""

    name = "theirs"
    title = "T"

    def run(self, dataset: DatasetView) -> Result:
        return Result()


@pytest.mark.parametrize(
    ("only", "also", "selected"),
    [
        ([], [], ["quick", "theirs"]),
        ([], ["slow"], ["slow", "quick", "theirs"]),
        (["slow"], [], ["slow"]),
        (["theirs"], ["slow"], ["slow", "theirs"]),
        (["quick"], ["quick"], ["quick"]),
    ],
)
def test_an_opt_in_analysis_runs_only_when_named(only: list[str], also: list[str], selected: list[str]) -> None:
    slow = LazyAnalysis(name="slow", title="T", module="slow", default=False)
    quick = LazyAnalysis(name="quick", title="T", module="quick")
    assert [analysis.name for analysis in select_analyses((slow, quick, FromAPlugin()), only, also)] == selected


def test_counts_of_a_result() -> None:
    assert result_summary(Result()) == "0 tables, 0 figures"
    assert result_summary(Result(tables=(table("a"),), figures=(figure("f", "a"),))) == "1 table, 1 figure"


def cites(where: Any, table: str = "a") -> Result:
    rows = pa.table({"n": [1, None], "flag": [True, False], "text": ["x", "y"]})
    cited = CitedRows(table=table, where=where)
    return Result(
        tables=(ResultTable(name="a", title="T", rows=rows),), findings=(Finding(text="A.", cited_rows=(cited,)),)
    )


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (Result(tables=(table("a"),), figures=(figure("a", "a"),)), None),
        ("text", "gives str, which is no Result"),
        (Result(tables=(table("A b"),)), "is not lower-case letters"),
        (Result(tables=(table("taken"),)), "a second table is named 'taken'"),
        (Result(tables=(table("a"), table("a"))), "a second table is named 'a'"),
        (Result(figures=(figure("f", "gone"),)), "shows the table 'gone', which is not there"),
        (Result(tables=(table("a", rows=[1]),)), "are no pyarrow.Table"),
        (Result(tables=(table("a", pa.table([[1], [2]], names=["x", "x"])),)), "two columns of one name"),
        (
            Result(tables=(table("a"),), findings=("Plain.", Finding(text="A."), Finding(text="B.", table="a", row=0))),
            None,
        ),
        (Result(findings=(Finding(text="A.", table="gone", row=0),)), "from the table 'gone', which is not there"),
        (Result(findings=(Finding(text="A.", row=0),)), "from the table None, which is not there"),
        (Result(tables=(table("a"),), findings=(Finding(text="A.", table="a"),)), "row None of 'a', which has 1 rows"),
        (Result(tables=(table("a"),), findings=(Finding(text="A.", table="a", row=1),)), "row 1 of 'a'"),
        (Result(tables=(table("a"),), findings=(Finding(text="A.", table="a", row=-1),)), "row -1 of 'a'"),
        (Result(findings=(1,)), "gives int among its findings"),  # type: ignore[arg-type]
        (Result(findings=(Finding(text="A.", figure="gone"),)), "shown by the figure 'gone', which is not there"),
        (
            Result(tables=(table("a"),), figures=(figure("f", "a"),), findings=(Finding(text="A.", figure="f"),)),
            None,
        ),
        (Result(findings=(Finding(text="A.", estimate=0.5),)), "gives float as the estimate"),  # type: ignore[arg-type]
        (Result(findings=(Finding(text="A.", estimate=number("0.5")),)), "gives str as the value of an estimate"),
        (Result(findings=(Finding(text="A.", estimate=number(None)),)), "gives NoneType as the value of an estimate"),
        (Result(findings=(Finding(text="A.", estimate=number(1, low=[0])),)), "gives list as the low of an estimate"),
        (Result(findings=(Finding(text="A.", estimate=number(np.float32(1), q=0)),)), None),
        (Result(findings=(Finding(text="A.", basis=12),)), "gives int as the basis"),  # type: ignore[arg-type]
        (Result(tables=(table("a"),), findings=(Finding(text="A.", table="a", row=np.int64(0)),)), None),
        (Result(tables=(table("a"),), findings=(Finding(text="A.", table="a", row=0.0),)), "row 0.0 of 'a'"),  # type: ignore[arg-type]
        (Result(findings=(Finding(text=b"A"),)), "gives bytes as the text of a finding"),  # type: ignore[arg-type]
        (Result(findings=(Finding(text="A.", columns=(1,)),)), "gives int as a column of a finding"),  # type: ignore[arg-type]
        (Result(findings=(Finding(text="A.", estimate=Estimate(label=None, value=1)),)), "as the label of an estimate"),  # type: ignore[arg-type]
        (cites(where={"n": 1}), None),
        (cites(where={"n": 1, "flag": True, "text": "x"}), None),
        (cites(table="gone", where={"n": 1}), "cites rows of the table 'gone', which is not there"),
        (cites(where={"m": 1}), "by the column 'm', which is not there"),
        (cites(where={"n": 2}), "by {'n': 2}, which no row has"),
        (cites(where={"n": True}), "by {'n': True}, which no row has"),
        (cites(where={"text": 1}), "which no row has"),
        (cites(where={}), "by {}, which no row has"),
        (cites(where={"text": ""}), "whose 'text' is '', which no filter can find"),
        (cites(where={"n": 1.5}), "whose 'n' is 1.5, which no filter can find"),
        (Result(findings=(Finding(text="A.", cited_rows=("t",)),)), "gives str among the rows"),  # type: ignore[arg-type]
        (Result(note=None), "gives NoneType as the note"),  # type: ignore[arg-type]
        (Result(tables=(ResultTable(name="a", title=b"T", rows=ROWS),)), "gives bytes as the title of 'a'"),  # type: ignore[arg-type]
        (
            Result(tables=(table("a"),), figures=(replace(figure("f", "a"), caption=1),)),
            "gives int as the caption of 'f'",
        ),  # type: ignore[arg-type]
        (Result(tables=(table("a"),), figures=(replace(figure("f", "a"), basis=1),)), "gives int as the basis of 'f'"),  # type: ignore[arg-type]
        (
            Result(tables=(table("a"),), figures=(replace(figure("f", "a"), height="5"),)),
            "gives str as the height of 'f'",
        ),  # type: ignore[arg-type]
    ],
)
def test_results_that_cannot_be_written(result: Any, problem: str | None) -> None:
    found = validate_result(result, {("table", "taken")})
    assert (found is None) if problem is None else (found is not None and problem in found)
