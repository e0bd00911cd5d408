"""The HTML report: one self-contained page without scripts or network access."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import jinja2
import pyarrow as pa
from markupsafe import Markup

from filtercrawl.api.analysis import Figure, ResultTable, SampleSize
from filtercrawl_analysis.plots.theme import DARK, LIGHT
from filtercrawl_analysis.report.run_analyses import AnalysisRun, result_summary

# Rows of a table on the page; the files have all.
MAX_ROWS: Final = 30
# Bytes of figures embedded in the page; further figures are only linked.
PICTURE_BYTES: Final = 6_000_000
# Findings at the top of the page, per analysis and in total.
KEY_FINDINGS_PER_ANALYSIS: Final = 2
MAX_KEY_FINDINGS: Final = 12


@dataclass(frozen=True, kw_only=True)
class RenderedFigure:
    """A rendered figure.

    Attributes:
        svg: Content of its SVG file.
        png: Content of its PNG file.
        shown: The images that the page embeds, for the light and the dark theme.
        kind: Their media subtype.
    """

    svg: bytes
    png: bytes
    shown: tuple[bytes, bytes]
    kind: Literal["svg+xml", "png"]

    @property
    def size(self) -> int:
        """Bytes of the embedded images in base64."""
        return sum(4 * len(picture) // 3 for picture in self.shown)


def render_report(
    results: Mapping[str, Any], sections: Sequence[AnalysisRun], pictures: Mapping[str, RenderedFigure]
) -> str:
    """Return the HTML page.

    Args:
        results: Content of results.json.
        sections: The runs of all analyses; those that failed are left out.
        pictures: Rendered figures by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("filtercrawl_analysis.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=sanitize,
    )
    embedded = fit_budget(pictures, PICTURE_BYTES)
    shown = [_section(section, pictures, embedded) for section in sections if section.problem is None]
    return environment.get_template("report.html.j2").render(
        results=results,
        day=results["made"][:10],
        sections=shown,
        key_findings=key_findings(shown),
        left_out=results["left_out"].items(),
        light=LIGHT,
        dark=DARK,
    )


def sanitize(value: object) -> object:
    """Replace unprintable characters in text: control characters, and marks that change the reading direction."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)


def fit_budget(pictures: Mapping[str, RenderedFigure], budget: int) -> set[str]:
    """Return the names of the figures to embed: all but the largest, so that the rest fits in `budget` bytes."""
    embedded = sorted(pictures, key=lambda name: (pictures[name].size, name))
    while sum(pictures[name].size for name in embedded) > budget:
        embedded.pop()
    return set(embedded)


def key_findings(sections: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return (section, finding) pairs for the top of the page: the first of each section, then the second of each."""
    sections = list(sections)
    ranked = [
        (section["name"], section["findings"][rank])
        for rank in range(KEY_FINDINGS_PER_ANALYSIS)
        for section in sections
        if len(section["findings"]) > rank
    ]
    return ranked[:MAX_KEY_FINDINGS]


def _section(section: AnalysisRun, pictures: Mapping[str, RenderedFigure], embedded: set[str]) -> dict[str, Any]:
    result = section.result
    filled = {table.name for table in result.tables if table.rows.num_rows}
    return {
        "name": section.name,
        "title": section.title,
        "findings": [str(finding) for finding in result.findings],
        "summary": result_summary(result),
        "figures": [
            _figure(figure, pictures[figure.name] if figure.name in embedded else None, filled)
            for figure in result.figures
            if figure.name in pictures
        ],
        "tables": [_table(table) for table in result.tables],
    }


def _figure(figure: Figure, drawn: RenderedFigure | None, filled: set[str]) -> dict[str, Any]:
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "basis": format_sample_size(figure.basis),
        "table": figure.table if figure.table in filled else None,
        "width": round(100 * figure.width),
        "height": round(100 * figure.height),
        "sources": [_data_uri(picture, drawn.kind) for picture in drawn.shown] if drawn else None,
    }


def format_sample_size(basis: SampleSize) -> str:
    """Format a sample size: `1,024 kernels of 3 layers of 1 model`."""
    counts = ((basis.kernels, "kernel"), (basis.layers, "layer"), (basis.models, "model"))
    return " of ".join(f"{count:,} {word}{'s' * (count != 1)}" for count, word in counts)


def _data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _table(table: ResultTable) -> dict[str, Any]:
    rows = table.rows
    head = rows.slice(0, MAX_ROWS)
    columns = [[cell(value) for value in column.to_pylist()] for column in head.columns]
    return {
        "name": table.name,
        "title": table.title,
        "about": table.about,
        "columns": [{"name": field.name, "numeric": _is_numeric(field.type)} for field in rows.schema],
        "rows": list(zip(*columns, strict=True)),
        "total": rows.num_rows,
    }


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def cell(value: object) -> str:
    """Format a value for the page: `1,024`, `0.3982`, lists with commas, null as empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(cell(item) for item in _round_to_zero(value))
    return str(value)


def _round_to_zero(values: list[object]) -> list[object]:
    """Set to zero the floats that are rounding errors beside the largest of them."""
    threshold = 1e-14 * max((abs(value) for value in values if isinstance(value, float)), default=0.0)
    return [0.0 if isinstance(value, float) and abs(value) < threshold else value for value in values]


def number(value: float) -> str:
    """Format a float with four significant digits, or as a whole number from 10,000 on."""
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"  # also inf, nan and zero
