"""Writing the results: tables, figures, the HTML page and results.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import Figure, ResultTable
from filtercrawl.dataset.files.atomic import atomic_write, write_text
from filtercrawl.dataset.files.manifest import file_entry, is_published
from filtercrawl.dataset.files.parquet import BATCH_ROWS, File, write_table
from filtercrawl_analysis.report.csv import csv_text
from filtercrawl_analysis.report.drawn_figures import DrawnFigure, FigureProblem, draw_figure
from filtercrawl_analysis.report.earlier_results import names_of, read_results, with_dates_of_equal_run, with_kept
from filtercrawl_analysis.report.html import PICTURE_BYTES, fit_budget, render_report
from filtercrawl_analysis.report.page_content import read_figures, read_tables
from filtercrawl_analysis.report.report_folder import ReportFolder
from filtercrawl_analysis.report.results import ReportInput, WrittenFiles, results_of_run
from filtercrawl_analysis.report.section_view import PageContent, PageFigure
from filtercrawl_analysis.report.table_script import write_table_scripts

DrawFigures = Callable[[Sequence[Figure]], Iterable[DrawnFigure | FigureProblem]]
DRAW_ALL: Final[DrawFigures] = partial(map, draw_figure)


@dataclass(kw_only=True)
class WrittenReport:
    """What was written.

    Attributes:
        paths: All files of this run, relative to the folder.
        left_out: Analyses and figures that failed, with the reason.
        results: Content of results.json.
    """

    paths: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)


def write_report(folder: ReportFolder, content: ReportInput, draw: DrawFigures = DRAW_ALL) -> WrittenReport:
    """Write all files, each atomically, and delete those of earlier runs that no section of the report has any more.

    A run with the same results keeps the date of the earlier one, so that no byte changes.

    Args:
        folder: Where to write.
        content: What to write.
        draw: Draws the figures.

    Returns:
        What was written.

    Raises:
        DatasetError: A file cannot be written.
    """
    earlier = read_results(folder)
    written = WrittenFiles(left_out={section.name: section.problem for section in content.sections if section.problem})
    _write_tables(folder, content, written)
    figures = _write_figures(folder, content, written, draw)
    own = results_of_run(content, written)
    results = with_kept(own, earlier, content.last_withdrawal) if content.keep_others else own
    results = with_dates_of_equal_run(results, earlier)
    page = _page_content(folder, content, results, figures)
    write_text(folder.root / folder.page, folder.root, render_report(results, page, content.pictures))
    kept = _kept(results, content)
    scripts = [folder.table(name, "js") for name in page.scripts]
    files = {*written.sha256, *written.unlisted, *scripts}
    folder.remove_others({*files, *_files_of(kept, folder)}, known=names_of(earlier))
    write_text(folder.root / folder.results, folder.root, json.dumps(results, indent=1) + "\n")
    folder.remove_scratch()
    return WrittenReport(
        paths=sorted([*files, folder.page, folder.results]),
        left_out=written.left_out,
        results=results,
    )


def _write_tables(folder: ReportFolder, content: ReportInput, written: WrittenFiles) -> None:
    for table in (table for section in content.sections for table in section.result.tables):
        files, written.row_counts[table.name] = _write_table(folder, table)
        for file in files:
            if is_published(file.path, file.size):
                written.sha256[file.path] = file.sha256
            else:
                written.unlisted.add(file.path)


def _write_table(folder: ReportFolder, table: ResultTable) -> tuple[list[File], int]:
    """Write both files of a table, and return them and its number of rows.

    There is none for a table without rows, which not all Parquet readers accept, and no CSV of one that is too large
    for memory.
    """
    rows: pa.Table = table.rows.replace_schema_metadata(None).combine_chunks()
    batches = iter(rows.to_batches(max_chunksize=BATCH_ROWS)) if table.batches is None else table.batches()
    found = write_table(folder.root, folder.table(table.name, "parquet"), rows.schema, batches)
    if found is None:
        return [], 0
    if found.rows > rows.num_rows:
        return [found], found.rows
    text, path = csv_text(rows), folder.table(table.name, "csv")
    write_text(folder.root / path, folder.root, text)
    return [file_entry(path, text), found], found.rows


def _write_figures(
    folder: ReportFolder, content: ReportInput, written: WrittenFiles, draw: DrawFigures
) -> dict[str, PageFigure]:
    """Draw and write all figures, and return what the page embeds of each; those that fail are noted in `written`."""
    shown: dict[str, PageFigure] = {}
    figures = [(section.name, figure) for section in content.sections for figure in section.result.figures]
    drawn = draw([figure for _, figure in figures])
    for (analysis, figure), found in zip(figures, drawn, strict=True):
        if isinstance(found, FigureProblem):
            written.left_out[f"{analysis}: figure {figure.name}"] = found.reason
            continue
        shown[figure.name] = found.shown
        for kind, image in (("svg", found.svg), ("png", found.png)):
            path = folder.figure(figure.name, kind)
            with atomic_write(folder.root / path, folder.root) as scratch:
                scratch.write_bytes(image)
            written.sha256[path] = hashlib.sha256(image).hexdigest()
    return shown


def _page_content(
    folder: ReportFolder, content: ReportInput, results: Mapping[str, Any], drawn: Mapping[str, PageFigure]
) -> PageContent:
    """Return the tables and figures of this run, and those of the earlier ones whose sections are kept.

    The script files of the tables are written.
    """
    kept = _kept(results, content)
    kept_figures = [entry["name"] for analysis in kept for entry in analysis["figures"]]
    own = {table.name: table.rows for section in content.sections for table in section.result.tables}
    tables = {**read_tables(folder, kept), **own}
    entries = [entry for analysis in results["analyses"] for entry in analysis["tables"] if entry["name"] in tables]
    figures = {**(read_figures(folder, kept_figures) if kept_figures else {}), **drawn}
    return PageContent(
        tables=tables,
        figures=figures,
        embedded=fit_budget(figures, PICTURE_BYTES),
        prefix=folder.prefix,
        scripts=write_table_scripts(folder, entries),
    )


def _kept(results: Mapping[str, Any], content: ReportInput) -> list[Mapping[str, Any]]:
    """Return the analyses of results.json that are of earlier runs."""
    run = {section.name for section in content.sections if section.problem is None}
    return [analysis for analysis in results["analyses"] if analysis["name"] not in run]


def _files_of(analyses: Iterable[Mapping[str, Any]], folder: ReportFolder) -> Iterator[str]:
    """Yield the paths that files of these analyses may have, also of tables that are too large to be published."""
    for analysis in analyses:
        for entry in analysis["tables"]:
            yield from (folder.table(entry["name"], kind) for kind in ("parquet", "csv"))
        for entry in analysis["figures"]:
            yield from (folder.figure(entry["name"], kind) for kind in ("svg", "png"))
