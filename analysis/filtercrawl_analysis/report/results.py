"""The content of results.json: what was asked for, and for each analysis its findings, tables and figures."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from filtercrawl.api.analysis import AnalysisOptions, Estimate, Figure, Finding, Result, ResultTable, SampleSize
from filtercrawl_analysis.report.cited_rows import cited_rows_entry
from filtercrawl_analysis.report.kernel_picture import LayerPicture
from filtercrawl_analysis.report.run_analyses import AnalysisRun
from filtercrawl_analysis.report.table_view import count_tests, row_key
from filtercrawl_analysis.statistics.groups.coverage import GroupCoverage


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """The content of a report.

    Attributes:
        dataset_id: The dataset.
        dataset_state: Digest of what the analyses see of the dataset, see `data.dataset_state`.
        version: The version of filtercrawl.
        made: Time of the run, in UTC.
        options: What the analyses were asked for.
        basis: Sample size of all that was analyzed.
        selection: Layers and models of the dataset in total, and the layers left out by reason.
        coverage: Groups, layers and models of each compared column.
        sections: The runs of all analyses.
        pictures: Kernels of the dataset, for the head of the page.
        keep_others: Whether the report keeps what earlier runs wrote of other analyses.
        last_withdrawal: When a model was last withdrawn from the dataset; None if none was.
    """

    dataset_id: str
    dataset_state: str
    version: str
    made: datetime
    options: AnalysisOptions
    basis: SampleSize
    selection: Mapping[str, int]
    coverage: Sequence[GroupCoverage]
    sections: tuple[AnalysisRun, ...]
    pictures: Sequence[LayerPicture] = ()
    keep_others: bool = False
    last_withdrawal: datetime | None = None


@dataclass(kw_only=True)
class WrittenFiles:
    """The files of tables and figures that a run wrote, and what it could not draw.

    Attributes:
        sha256: Hash of each published file by its path.
        unlisted: Paths of tables that are too large to be published, so neither on the page nor in results.json.
        row_counts: Rows of each table.
        left_out: Analyses and figures that failed, with the reason.
    """

    sha256: dict[str, str] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    row_counts: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def results_of_run(content: ReportInput, written: WrittenFiles) -> dict[str, Any]:
    """Return the content of results.json but for what is kept of earlier runs.

    It has no timings, so that equal results are equal bytes.
    """
    options = asdict(content.options)
    del options["device"]  # results do not depend on it
    options["join"] = _joined_file(content.options.join)
    options["by"] = list(content.options.by)
    made = content.made.isoformat(timespec="seconds")
    origin = {
        "made": made,
        "dataset_state": content.dataset_state,
        "filtercrawl_version": content.version,
        "options": options,
    }
    return {
        "dataset_id": content.dataset_id,
        **origin,
        "basis": asdict(content.basis),
        "selection": dict(content.selection),
        "groups": [asdict(column) for column in content.coverage],
        "analyses": [
            {**_analysis(section, written), **origin} for section in content.sections if section.problem is None
        ],
        "left_out": written.left_out,
        "sha256": dict(sorted(written.sha256.items())),
    }


def _joined_file(path: Path | None) -> dict[str, str] | None:
    """Return the name and the hash of a joined file; its folder is of no interest to readers."""
    if path is None:
        return None
    with path.open("rb") as file:
        return {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _analysis(section: AnalysisRun, written: WrittenFiles) -> dict[str, Any]:
    result = section.result
    return {
        "name": section.name,
        "title": section.title,
        "reads_kernels": section.reads_kernels,
        "findings": [_finding(finding, result) for finding in result.findings],
        "note": result.note or None,
        "tables": [_table(table, written) for table in result.tables],
        "figures": [_figure(figure, written.sha256) for figure in result.figures],
    }


def _table(table: ResultTable, written: WrittenFiles) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "about": table.about,
        "rows": written.row_counts[table.name],
        "columns": table.rows.column_names,
        "tests": count_tests(table),
        "files": _files(written.sha256, "tables", table.name),
    }


def _figure(figure: Figure, paths: Iterable[str]) -> dict[str, Any]:
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "basis": _size(figure.basis),
        "table": figure.table,
        "width": float(figure.width),
        "height": float(figure.height),
        "files": _files(paths, "figures", figure.name),
    }


def _files(paths: Iterable[str], folder: str, name: str) -> list[str]:
    return [path for path in paths if f"/{path}".rpartition(".")[0].endswith(f"/{folder}/{name}")]


def _finding(finding: Finding | str, result: Result) -> dict[str, Any]:
    """Return a finding with the rows that it is derived from, and what shows and supports it."""
    if isinstance(finding, str):
        finding = Finding(text=finding)
    tables = {table.name: table for table in result.tables}
    return {
        "text": finding.text,
        **_cited(finding, result.tables),
        "figure": finding.figure or _first_figure(finding, result.figures),
        "estimate": _estimate(finding.estimate),
        "basis": None if finding.basis is None else _size(finding.basis),
        "columns": list(finding.columns),
        "cited_rows": [cited_rows_entry(cited, tables) for cited in finding.cited_rows],
    }


def _size(basis: SampleSize) -> dict[str, int]:
    """Return a sample size; numbers of numpy, as analyses count with, are not numbers of JSON."""
    return {name: int(count) for name, count in asdict(basis).items()}


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    """Return the number of a finding; what is not finite is unknown, as JSON has no words for it."""
    if estimate is None:
        return None
    numbers = {name: _finite(getattr(estimate, name)) for name in ("value", "low", "high", "p", "q")}
    return None if numbers["value"] is None else {**asdict(estimate), **numbers, "percent": bool(estimate.percent)}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _cited(finding: Finding, tables: Iterable[ResultTable]) -> dict[str, Any]:
    """Return the table, the positions and the identifying columns of the rows that a finding is derived from."""
    if finding.table is None or finding.row is None:
        return {"table": None, "row": None, "key": None, "other_rows": []}
    rows = next(table.rows for table in tables if table.name == finding.table)
    return {
        "table": finding.table,
        "row": int(finding.row),
        "key": row_key(rows, int(finding.row)),
        "other_rows": [{"row": int(row), "key": row_key(rows, int(row))} for row in finding.other_rows],
    }


def _first_figure(finding: Finding, figures: Iterable[Figure]) -> str | None:
    """Return the name of the first figure that shows the table of a finding, or of all for one without a table."""
    return next((figure.name for figure in figures if finding.table in (None, figure.table)), None)
