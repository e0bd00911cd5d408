"""The rows and images that the page shows of earlier runs, read back from the files that these wrote."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl_analysis.report.report_folder import ReportFolder
from filtercrawl_analysis.report.section_view import PageFigure
from filtercrawl_analysis.report.table_view import MAX_ROWS, cited_rows

_DATA: Final = re.compile(r"data:image/(svg\+xml|png);base64,([A-Za-z0-9+/]+={0,2})")
_ATTRIBUTE: Final = "data-figure"


def read_tables(folder: ReportFolder, analyses: Iterable[Mapping[str, Any]]) -> dict[str, pa.Table]:
    """Return the rows of the tables of earlier runs that the page may show; a table that cannot be read is left out."""
    tables = {}
    for analysis in analyses:
        for entry in analysis["tables"]:
            last = max(cited_rows(analysis["findings"], entry["name"]), default=0)
            try:
                tables[entry["name"]] = read_rows(folder, entry, max(MAX_ROWS, last + 1))
            except (OSError, pa.ArrowException):
                continue
    return tables


def read_rows(folder: ReportFolder, entry: Mapping[str, Any], n_rows: int) -> pa.Table:
    """Return at least the first `n_rows` rows of a table, or all if it has fewer.

    Args:
        folder: Where it was written.
        entry: The table in results.json.
        n_rows: How many rows are needed.

    Raises:
        OSError: The file is not there or damaged.
        pa.ArrowException: It is no Parquet file.
    """
    if not entry["rows"]:  # no file is written for a table without rows
        return pa.table({name: pa.array([], pa.string()) for name in entry["columns"]})
    batches: list[pa.RecordBatch] = []
    with pq.ParquetFile(folder.root / folder.table(entry["name"], "parquet")) as file:
        for batch in file.iter_batches(batch_size=4096):
            batches.append(batch)
            n_rows -= batch.num_rows
            if n_rows <= 0:
                break
        return pa.Table.from_batches(batches, file.schema_arrow)


def read_figures(folder: ReportFolder, names: Collection[str]) -> dict[str, PageFigure]:
    """Return the images of figures that an earlier page embeds, by name.

    The page alone has those of the dark theme. A figure that it does not embed is shown by its SVG file in both themes.
    """
    found: dict[str, PageFigure] = {}
    try:
        reader = _FigureReader()
        reader.feed((folder.root / folder.page).read_text("utf-8"))
        found = {name: figure for name, figure in reader.figures() if name in names}
    except (OSError, UnicodeDecodeError):
        pass
    for name in set(names) - found.keys():
        try:
            image = (folder.root / folder.figure(name, "svg")).read_bytes()
        except OSError:
            continue
        found[name] = PageFigure(shown=(image, image), kind="svg+xml")
    return found


class _FigureReader(HTMLParser):
    """Collects the data URIs of the images that belong to a figure."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._sources: dict[str, dict[str, str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        name, source = values.get(_ATTRIBUTE), values.get("src") or values.get("srcset")
        if tag in ("img", "source") and name and source:
            self._sources.setdefault(name, {}).setdefault(tag, source)

    def figures(self) -> Iterator[tuple[str, PageFigure]]:
        """Yield the name and the images of each figure that has them for both themes."""
        for name, sources in self._sources.items():
            light, dark = (_decoded(sources.get(tag, "")) for tag in ("img", "source"))
            if light and dark and light[0] == dark[0]:
                yield name, PageFigure(shown=(light[1], dark[1]), kind=light[0])


def _decoded(source: str) -> tuple[Literal["svg+xml", "png"], bytes] | None:
    match = _DATA.fullmatch(source)
    if match is None:
        return None
    try:
        image = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        return None
    return ("png" if match[1] == "png" else "svg+xml"), image
