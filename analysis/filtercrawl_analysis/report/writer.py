"""Writing the results into DATASET/analysis: tables, figures, the HTML page and results.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import AnalysisOptions, Figure, Finding, ResultTable, SampleSize
from filtercrawl.api.errors import describe_error
from filtercrawl.dataset.files.atomic import atomic_write, remove, write_text
from filtercrawl.dataset.files.manifest import file_entry, is_published
from filtercrawl.dataset.files.parquet import BATCH_ROWS, File, write_table
from filtercrawl_analysis.plots.render import palette_png, png, svg, svg_and_png
from filtercrawl_analysis.plots.theme import DARK, LIGHT
from filtercrawl_analysis.report.csv import csv_text
from filtercrawl_analysis.report.html import RenderedFigure, render_report
from filtercrawl_analysis.report.run_analyses import AnalysisRun
from filtercrawl_analysis.report.table_view import count_tests, row_key
from filtercrawl_analysis.statistics.groups.coverage import GroupCoverage

FOLDER: Final = "analysis"
REPORT: Final = f"{FOLDER}/report.html"
RESULTS: Final = f"{FOLDER}/results.json"
# From this size on, the page embeds the PNG instead, if that is smaller.
SVG_BYTES: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """The content of a report.

    Attributes:
        dataset_id: The dataset.
        version: The version of filtercrawl.
        made: Time of the run, in UTC.
        options: What the analyses were asked for.
        basis: Sample size of all that was analyzed.
        selection: Layers and models of the dataset in total, and the layers left out by reason.
        coverage: Groups, layers and models of each compared column.
        sections: The runs of all analyses.
    """

    dataset_id: str
    version: str
    made: datetime
    options: AnalysisOptions
    basis: SampleSize
    selection: Mapping[str, int]
    coverage: Sequence[GroupCoverage]
    sections: tuple[AnalysisRun, ...]


@dataclass(kw_only=True)
class WrittenReport:
    """What was written.

    Attributes:
        paths: All files, relative to the dataset.
        left_out: Analyses and figures that failed, with the reason.
        results: Content of results.json.
        row_counts: Rows of each table.
    """

    paths: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    row_counts: dict[str, int] = field(default_factory=dict)


def write_report(
    dataset: Path, content: ReportInput, step: Callable[[int, int, str], None] = lambda *_: None
) -> WrittenReport:
    """Write all files, each atomically, and delete those of earlier runs.

    A run with the same results keeps the date of the earlier one, so that no byte changes.

    Args:
        dataset: The dataset folder.
        content: What to write.
        step: Receives the number of figures drawn, their total, and what is done.

    Returns:
        What was written.

    Raises:
        DatasetError: A file cannot be written.
    """
    written = WrittenReport(left_out={section.name: section.problem for section in content.sections if section.problem})
    files: dict[str, str] = {}
    unlisted: set[str] = set()  # too large to be published, so neither on the page nor in results.json
    pictures: dict[str, RenderedFigure] = {}
    done, total = 0, sum(len(section.result.figures) for section in content.sections)
    for section in content.sections:
        for table in section.result.tables:
            files_of_table, written.row_counts[table.name] = _write_table(dataset, table)
            for file in files_of_table:
                if is_published(file.path, file.size):
                    files[file.path] = file.sha256
                else:
                    unlisted.add(file.path)
        for figure in section.result.figures:
            step(done, total, "figures")
            done += 1
            try:
                pictures[figure.name] = drawn = _render(figure)
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything
                written.left_out[f"{section.name}: figure {figure.name}"] = describe_error(error)
                continue
            for kind, image in (("svg", drawn.svg), ("png", drawn.png)):
                path = f"{FOLDER}/figures/{figure.name}.{kind}"
                with atomic_write(dataset / path, dataset) as scratch:
                    scratch.write_bytes(image)
                files[path] = hashlib.sha256(image).hexdigest()
    results = summary(content, written, files)
    results["made"] = _date_of_equal_run(dataset / RESULTS, results) or content.made.isoformat(timespec="seconds")
    write_text(dataset / REPORT, dataset, render_report(results, content.sections, pictures))
    for path in list(_outdated_files(dataset, {*files, *unlisted})):
        remove(dataset / path)
    write_text(dataset / RESULTS, dataset, json.dumps(results, indent=1) + "\n")
    written.results = results
    written.paths = sorted([*files, *unlisted, REPORT, RESULTS])
    return written


def summary(content: ReportInput, written: WrittenReport, files: dict[str, str]) -> dict[str, Any]:
    """Return the content of results.json without the date; it has no timings, so that equal results are equal bytes."""
    options = asdict(content.options)
    del options["device"]  # results do not depend on it
    options["join"] = _joined_file(content.options.join)
    return {
        "dataset_id": content.dataset_id,
        "filtercrawl_version": content.version,
        "options": options | {"by": list(content.options.by)},
        "basis": asdict(content.basis),
        "selection": dict(content.selection),
        "groups": [asdict(column) for column in content.coverage],
        "analyses": [
            _analysis(section, files, written.row_counts) for section in content.sections if section.problem is None
        ],
        "left_out": written.left_out,
        "sha256": files,
    }


def _joined_file(path: Path | None) -> dict[str, str] | None:
    """Return the name and the hash of a joined file; its folder is of no interest to readers."""
    if path is None:
        return None
    with path.open("rb") as file:
        return {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _analysis(section: AnalysisRun, files: Iterable[str], row_counts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "findings": [_finding(finding, section.result.tables) for finding in section.result.findings],
        "note": section.result.note or None,
        "tables": [
            {
                "name": table.name,
                "title": table.title,
                "rows": row_counts[table.name],
                "columns": table.rows.column_names,
                "tests": count_tests(table),
                "files": [path for path in files if path.rpartition(".")[0] == f"{FOLDER}/tables/{table.name}"],
            }
            for table in section.result.tables
        ],
        "figures": [
            {
                "name": figure.name,
                "title": figure.title,
                "caption": figure.caption,
                "basis": asdict(figure.basis),
                "table": figure.table,
                "files": [path for path in files if path.rpartition(".")[0] == f"{FOLDER}/figures/{figure.name}"],
            }
            for figure in section.result.figures
        ],
    }


def _finding(finding: Finding | str, tables: Iterable[ResultTable]) -> dict[str, Any]:
    """Return a finding with the rows that it is derived from: their table, positions and identifying columns."""
    if isinstance(finding, str) or finding.table is None or finding.row is None:
        return {"text": str(finding), "table": None, "row": None, "key": None, "other_rows": []}
    rows = next(table.rows for table in tables if table.name == finding.table)
    return {
        "text": finding.text,
        "table": finding.table,
        "row": finding.row,
        "key": row_key(rows, finding.row),
        "other_rows": [{"row": row, "key": row_key(rows, row)} for row in finding.other_rows],
    }


def _write_table(dataset: Path, table: ResultTable) -> tuple[list[File], int]:
    """Write both files of a table, and return them and its number of rows.

    There is none for a table without rows, which not all Parquet readers accept, and no CSV of one that is too large
    for memory.
    """
    rows: pa.Table = table.rows.replace_schema_metadata(None).combine_chunks()
    path = f"{FOLDER}/tables/{table.name}"
    batches = iter(rows.to_batches(max_chunksize=BATCH_ROWS)) if table.batches is None else table.batches()
    found = write_table(dataset, f"{path}.parquet", rows.schema, batches)
    if found is None:
        return [], 0
    if found.rows > rows.num_rows:
        return [found], found.rows
    text = csv_text(rows)
    write_text(dataset / f"{path}.csv", dataset, text)
    return [file_entry(f"{path}.csv", text), found], found.rows


def _render(figure: Figure) -> RenderedFigure:
    light, raster = svg_and_png(figure, LIGHT)
    if len(light) > SVG_BYTES and len(small := palette_png(raster)) < len(light):
        return RenderedFigure(svg=light, png=raster, shown=(small, palette_png(png(figure, DARK))), kind="png")
    return RenderedFigure(svg=light, png=raster, shown=(light, svg(figure, DARK)), kind="svg+xml")


def _date_of_equal_run(path: Path, results: dict[str, Any]) -> str | None:
    """Return the date of an earlier run with the same results; None if there is none."""
    try:
        before = json.loads(path.read_bytes())
        made = before.pop("made")
    except (OSError, ValueError, KeyError, AttributeError, RecursionError):
        return None
    return made if before == json.loads(json.dumps(results)) and _is_date(made) else None


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _outdated_files(dataset: Path, kept: set[str]) -> Iterator[str]:
    """Yield the tables and figures of earlier runs; files of other kinds are left alone."""
    for pattern in ("tables/*.parquet", "tables/*.csv", "figures/*.svg", "figures/*.png"):
        for path in sorted((dataset / FOLDER).glob(pattern)):
            name = path.relative_to(dataset).as_posix()
            if name not in kept and path.is_file():
                yield name
