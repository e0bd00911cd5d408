"""Whether what an analysis returns can be written, so that one of a plugin is left out and does not end the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from numbers import Integral, Real
from typing import Final

import pyarrow as pa

from filtercrawl.api.analysis import Estimate, Figure, Finding, Result, ResultTable, SampleSize
from filtercrawl_analysis.report.cited_rows import cited_rows_problem
from filtercrawl_analysis.report.report_folder import is_name

_NUMBERS: Final = ("value", "low", "high", "p", "q")


def validate_result(result: object, taken: set[tuple[str, str]]) -> str | None:
    """Return why a result cannot be written; None if it can.

    Args:
        result: What an analysis returned.
        taken: Kinds and names of the tables and figures of earlier results.
    """
    if not isinstance(result, Result):
        return f"gives {type(result).__name__}, which is no Result"
    problems = chain(
        _of_names(result, taken),
        _of_kinds(("the note", result.note, str)),
        *map(_of_table, result.tables),
        *(_of_figure(figure, result) for figure in result.figures),
        *(_of_finding(finding, result) for finding in result.findings),
    )
    return next(problems, None)


def _of_names(result: Result, taken: set[tuple[str, str]]) -> Iterator[str]:
    names = Counter(taken)
    for item in chain(result.tables, result.figures):
        if not isinstance(item, ResultTable | Figure):
            yield f"gives {type(item).__name__} among its tables and figures"
            return
        if not is_name(item.name):
            yield f"the name {item.name!r} is not lower-case letters, digits, hyphens and underscores"
            return
        kind = "figure" if isinstance(item, Figure) else "table"
        names[kind, item.name] += 1
        if names[kind, item.name] > 1:
            yield f"a second {kind} is named {item.name!r}"


def _of_table(table: ResultTable) -> Iterator[str]:
    if not isinstance(table.rows, pa.Table):
        yield f"the rows of {table.name!r} are no pyarrow.Table"
    elif len(set(table.rows.column_names)) < table.rows.num_columns:
        yield f"the table {table.name!r} has two columns of one name"
    yield from _of_kinds(*((f"the {name} of {table.name!r}", getattr(table, name), str) for name in ("title", "about")))


def _of_figure(figure: Figure, result: Result) -> Iterator[str]:
    if all(table.name != figure.table for table in result.tables):
        yield f"the figure {figure.name!r} shows the table {figure.table!r}, which is not there"
    kinds = {"title": str, "caption": str, "basis": SampleSize, "width": Real, "height": Real}
    yield from _of_kinds(
        *((f"the {name} of {figure.name!r}", getattr(figure, name), kind) for name, kind in kinds.items())
    )


def _of_finding(finding: object, result: Result) -> Iterator[str]:
    if isinstance(finding, str):
        return
    if not isinstance(finding, Finding):
        yield f"gives {type(finding).__name__} among its findings"
        return
    yield from _of_kinds(
        ("the text of a finding", finding.text, str),
        *(("a column of a finding", column, str) for column in finding.columns),
    )
    yield from _of_own_rows(finding, result)
    tables = {table.name: table for table in result.tables}
    yield from filter(None, (cited_rows_problem(cited, tables) for cited in finding.cited_rows))
    if finding.figure is not None and all(figure.name != finding.figure for figure in result.figures):
        yield f"a finding is shown by the figure {finding.figure!r}, which is not there"
    if finding.basis is not None:
        yield from _of_kinds(("the basis of a finding", finding.basis, SampleSize))
    if finding.estimate is not None:
        yield from _of_estimate(finding.estimate)


def _of_own_rows(finding: Finding, result: Result) -> Iterator[str]:
    if finding.table is None and finding.row is None:
        return
    table = next((table for table in result.tables if table.name == finding.table), None)
    if table is None:
        yield f"a finding is derived from the table {finding.table!r}, which is not there"
        return
    rows: tuple[object, ...] = (finding.row, *finding.other_rows)
    for row in rows:
        if not isinstance(row, Integral) or not 0 <= int(row) < table.rows.num_rows:
            yield f"a finding is derived from row {row} of {table.name!r}, which has {table.rows.num_rows} rows"


def _of_estimate(estimate: object) -> Iterator[str]:
    if not isinstance(estimate, Estimate):
        yield f"gives {type(estimate).__name__} as the estimate of a finding"
        return
    yield from _of_kinds(*((f"the {name} of an estimate", getattr(estimate, name), str) for name in ("label", "note")))
    for name in _NUMBERS:
        number = getattr(estimate, name)
        if number is not None or name == "value":
            yield from _of_kinds((f"the {name} of an estimate", number, Real))


def _of_kinds(*given: tuple[str, object, type]) -> Iterator[str]:
    """Yield what has another type than it must have, from names, values and types."""
    for what, value, kind in given:
        if not isinstance(value, kind):
            yield f"gives {type(value).__name__} as {what}"
