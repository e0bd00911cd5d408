"""Write what the analyses found below DATASET/analysis: tables, figures, one page, one list of it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import AnalysisOptions, Figure, ResultTable, SampleSize
from filtercrawl.api.errors import describe_error
from filtercrawl.dataset.files.atomic import atomic_write, remove, write_text
from filtercrawl.dataset.files.manifest import file_entry, is_published
from filtercrawl.dataset.files.parquet import BATCH_ROWS, File, write_table
from filtercrawl_analysis.plots.render import palette_png, png, svg
from filtercrawl_analysis.plots.theme import DARK, LIGHT
from filtercrawl_analysis.report.csv import csv_text
from filtercrawl_analysis.report.html import RenderedFigure, render_report
from filtercrawl_analysis.report.run_analyses import AnalysisRun

FOLDER: Final = "analysis"
REPORT: Final = f"{FOLDER}/report.html"
RESULTS: Final = f"{FOLDER}/results.json"
# Above this the page shows the PNG in its place, where that is smaller.
SVG_BYTES: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """All that is written. basis: what was looked at as a whole; made: when, in UTC."""

    dataset_id: str
    version: str
    made: datetime
    options: AnalysisOptions
    basis: SampleSize
    sections: tuple[AnalysisRun, ...]


@dataclass(kw_only=True)
class WrittenReport:
    """paths: of all files, relative to the dataset. left_out: what is missing -> why. results: as in results.json."""

    paths: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)


def write_report(
    dataset: Path, study: ReportInput, step: Callable[[int, int, str], None] = lambda *_: None
) -> WrittenReport:
    """Write everything, each file whole or not at all, and delete what an earlier run left.

    A run that finds the same keeps the date of the earlier one, so that no byte changes. step: told how many figures
    are drawn. Raises DatasetError where the disk refuses.
    """
    written = WrittenReport(left_out={section.name: section.problem for section in study.sections if section.problem})
    files: dict[str, str] = {}
    unlisted: set[str] = set()  # not published, and not named by the page and results.json
    pictures: dict[str, RenderedFigure] = {}
    done, total = 0, sum(len(section.result.figures) for section in study.sections)
    for section in study.sections:
        for table in section.result.tables:
            for file in _write_table(dataset, table):
                if is_published(file.path, file.size):
                    files[file.path] = file.sha256
                else:
                    unlisted.add(file.path)
        for figure in section.result.figures:
            step(done, total, "figures")
            done += 1
            try:
                pictures[figure.name] = drawn = _draw(figure)
            except Exception as error:  # noqa: BLE001 - a stranger's figure may raise anything
                written.left_out[f"{section.name}: figure {figure.name}"] = describe_error(error)
                continue
            for kind, content in (("svg", drawn.svg), ("png", drawn.png)):
                path = f"{FOLDER}/figures/{figure.name}.{kind}"
                with atomic_write(dataset / path, dataset) as scratch:
                    scratch.write_bytes(content)
                files[path] = hashlib.sha256(content).hexdigest()
    results = summary(study, written.left_out, files)
    results["made"] = _earlier(dataset / RESULTS, results) or study.made.isoformat(timespec="seconds")
    write_text(dataset / REPORT, dataset, render_report(results, study.sections, pictures))
    for path in list(_remove_outdated(dataset, {*files, *unlisted})):
        remove(dataset / path)
    write_text(dataset / RESULTS, dataset, json.dumps(results, indent=1) + "\n")
    written.results = results
    written.paths = sorted([*files, *unlisted, REPORT, RESULTS])
    return written


def summary(study: ReportInput, left_out: dict[str, str], files: dict[str, str]) -> dict[str, Any]:
    """Return what results.json holds, but for the date: no times, so that equal findings are equal bytes."""
    options = asdict(study.options)
    del options["device"]  # the same numbers on each
    return {
        "dataset_id": study.dataset_id,
        "filtercrawl_version": study.version,
        "options": options | {"by": list(study.options.by)},
        "basis": asdict(study.basis),
        "analyses": [_analysis(section, files) for section in study.sections if section.problem is None],
        "left_out": left_out,
        "sha256": files,
    }


def _analysis(section: AnalysisRun, files: Iterable[str]) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "findings": list(section.result.findings),
        "tables": [
            {
                "name": table.name,
                "title": table.title,
                "rows": table.rows.num_rows,
                "columns": table.rows.column_names,
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


def _write_table(dataset: Path, table: ResultTable) -> list[File]:
    """Write both files of a table; none for one without rows, which no reader takes."""
    rows: pa.Table = table.rows.replace_schema_metadata(None).combine_chunks()
    path = f"{FOLDER}/tables/{table.name}"
    found = write_table(dataset, f"{path}.parquet", rows.schema, rows.to_batches(max_chunksize=BATCH_ROWS))
    if found is None:
        return []
    text = csv_text(rows)
    write_text(dataset / f"{path}.csv", dataset, text)
    return [file_entry(f"{path}.csv", text), found]


def _draw(figure: Figure) -> RenderedFigure:
    light, raster = svg(figure, LIGHT), png(figure, LIGHT)
    if len(light) > SVG_BYTES and len(small := palette_png(raster)) < len(light):
        return RenderedFigure(svg=light, png=raster, shown=(small, palette_png(png(figure, DARK))), kind="png")
    return RenderedFigure(svg=light, png=raster, shown=(light, svg(figure, DARK)), kind="svg+xml")


def _earlier(path: Path, results: dict[str, Any]) -> str | None:
    """Return the date of an earlier run that found the same."""
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


def _remove_outdated(dataset: Path, kept: set[str]) -> Iterator[str]:
    """Yield the tables and figures of earlier runs; nothing but what this program writes."""
    for pattern in ("tables/*.parquet", "tables/*.csv", "figures/*.svg", "figures/*.png"):
        for path in sorted((dataset / FOLDER).glob(pattern)):
            name = path.relative_to(dataset).as_posix()
            if name not in kept and path.is_file():
                yield name
