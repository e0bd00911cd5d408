"""Running the analyses one after the other; one that fails is left out, and the others go on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from typing import Protocol

import pyarrow as pa

from filtercrawl.api.analysis import (
    Analysis,
    DatasetView,
    Estimate,
    Figure,
    Finding,
    Result,
    ResultTable,
    SampleSize,
)
from filtercrawl.api.errors import Cancelled, UsageError, describe_error
from filtercrawl_analysis.report.report_folder import is_name


@dataclass(frozen=True, kw_only=True)
class AnalysisRun:
    """One run of an analysis.

    Attributes:
        name: The name of the analysis.
        title: Its heading.
        result: What it returned; empty if it failed.
        seconds: Wall-clock time.
        problem: Why it is left out; None if it is not.
        reads_kernels: Whether its results are from kernels also without `--exact`.
    """

    name: str
    title: str
    result: Result
    seconds: float
    problem: str | None = None
    reads_kernels: bool = False


class AnalysisProgress(Protocol):
    """The part of `Progress` that this module uses."""

    def done(self, name: str, what: str) -> None:
        """Count one analysis as done."""
        ...


def select_analyses(analyses: Sequence[Analysis], only: Sequence[str] = (), also: Sequence[str] = ()) -> list[Analysis]:
    """Return the analyses to run, in their order.

    Args:
        analyses: All that are installed.
        only: Names of the analyses to run; without any, those that run by default.
        also: Names of analyses to run beside these.

    Raises:
        UsageError: No analysis has one of the names.
    """
    known = {analysis.name: analysis for analysis in analyses}
    for option, names in (("--only", only), ("--also", also)):
        for name in names:
            if name not in known:
                raise UsageError(
                    f"{option}: no analysis is named {name!r}; installed are {', '.join(sorted(known)) or 'none'}"
                )
    chosen = {*also, *(only or (name for name, analysis in known.items() if runs_by_default(analysis)))}
    return [analysis for analysis in analyses if analysis.name in chosen]


def runs_by_default(analysis: Analysis) -> bool:
    """Return whether an analysis runs without being named: by its attribute `default`, yes if it has none."""
    return bool(getattr(analysis, "default", True))


def run_analyses(
    analyses: Sequence[Analysis], dataset: DatasetView, progress: AnalysisProgress
) -> Iterator[AnalysisRun]:
    """Run analyses in their order.

    Args:
        analyses: The analyses.
        dataset: What they get.
        progress: Receives each outcome.

    Yields:
        One run per analysis; the exception of a failed analysis becomes its `problem`.

    Raises:
        Cancelled: The run was cancelled.
    """
    taken: set[tuple[str, str]] = set()
    for analysis in analyses:
        started = time.monotonic()
        result, problem = Result(), None
        try:
            result = analysis.run(dataset)
            problem = validate_result(result, taken)
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            problem = describe_error(error)
        if problem is not None:
            result = Result()
        taken |= {("table", table.name) for table in result.tables}
        taken |= {("figure", figure.name) for figure in result.figures}
        yield AnalysisRun(
            name=analysis.name,
            title=str(analysis.title),
            result=result,
            seconds=round(time.monotonic() - started, 3),
            problem=problem,
            reads_kernels=bool(getattr(analysis, "reads_kernels", False)),
        )
        progress.done(analysis.name, problem or result_summary(result))


def result_summary(result: Result) -> str:
    """Return the counts of a result: `2 tables, 1 figure`."""
    tables, figures = len(result.tables), len(result.figures)
    return f"{tables} table{'s' * (tables != 1)}, {figures} figure{'s' * (figures != 1)}"


def validate_result(result: object, taken: set[tuple[str, str]]) -> str | None:
    """Return why a result cannot be written; None if it can.

    Args:
        result: What an analysis returned.
        taken: Kinds and names of the tables and figures of earlier results.
    """
    if not isinstance(result, Result):
        return f"gives {type(result).__name__}, which is no Result"
    names = Counter(taken)
    for item in chain(result.tables, result.figures):
        if not isinstance(item, ResultTable | Figure):
            return f"gives {type(item).__name__} among its tables and figures"
        if not is_name(item.name):
            return f"the name {item.name!r} is not lower-case letters, digits, hyphens and underscores"
        kind = "figure" if isinstance(item, Figure) else "table"
        names[kind, item.name] += 1
        if names[kind, item.name] > 1:
            return f"a second {kind} is named {item.name!r}"
    tables = {table.name: table for table in result.tables}
    problems = chain(
        (_validate_rows(table) for table in result.tables),
        (
            f"the figure {figure.name!r} shows the table {figure.table!r}, which is not there"
            for figure in result.figures
            if figure.table not in tables
        ),
        (_validate_finding(finding, result) for finding in result.findings),
    )
    return next(filter(None, problems), None)


def _validate_finding(finding: object, result: Result) -> str | None:
    if isinstance(finding, str):
        return None
    if not isinstance(finding, Finding):
        return f"gives {type(finding).__name__} among its findings"
    return _validate_cited_rows(finding, result) or _validate_evidence(finding, result)


def _validate_cited_rows(finding: Finding, result: Result) -> str | None:
    if finding.table is None and finding.row is None:
        return None
    table = next((table for table in result.tables if table.name == finding.table), None)
    if table is None:
        return f"a finding is derived from the table {finding.table!r}, which is not there"
    for row in (finding.row, *finding.other_rows):
        if row is None or not 0 <= row < table.rows.num_rows:
            return f"a finding is derived from row {row} of {table.name!r}, which has {table.rows.num_rows} rows"
    return None


def _validate_evidence(finding: Finding, result: Result) -> str | None:
    if finding.figure is not None and all(figure.name != finding.figure for figure in result.figures):
        return f"a finding is shown by the figure {finding.figure!r}, which is not there"
    given: tuple[tuple[str, object, type], ...] = (
        ("estimate", finding.estimate, Estimate),
        ("basis", finding.basis, SampleSize),
    )
    for name, value, kind in given:
        if value is not None and not isinstance(value, kind):
            return f"gives {type(value).__name__} as the {name} of a finding"
    if finding.estimate is not None:
        for name in ("value", "low", "high", "p", "q"):
            number = getattr(finding.estimate, name)
            if not isinstance(number, Real) and (number is not None or name == "value"):
                return f"gives {type(number).__name__} as the {name} of an estimate"
    return None


def _validate_rows(table: ResultTable) -> str | None:
    if not isinstance(table.rows, pa.Table):
        return f"the rows of {table.name!r} are no pyarrow.Table"
    if len(set(table.rows.column_names)) < table.rows.num_columns:
        return f"the table {table.name!r} has two columns of one name"
    return None
