"""Running the analyses one after the other; one that fails is left out, and the others go on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from filtercrawl.api.analysis import Analysis, DatasetView, Result
from filtercrawl.api.errors import Cancelled, EngineError, UsageError, describe_error
from filtercrawl_analysis.report.result_validation import validate_result


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
        EngineError: What computes cannot be reached or ends without results.
    """
    taken: set[tuple[str, str]] = set()
    for analysis in analyses:
        started = time.monotonic()
        result, problem = Result(), None
        try:
            result = analysis.run(dataset)
            problem = validate_result(result, taken)
        except (Cancelled, EngineError):
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
