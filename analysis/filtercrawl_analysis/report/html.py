"""The HTML report: one self-contained page without scripts or network access."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import jinja2
from markupsafe import Markup

from filtercrawl.api.analysis import Figure, Finding, SampleSize
from filtercrawl_analysis.plots.theme import DARK, LIGHT
from filtercrawl_analysis.report.mode_notice import mode_notice
from filtercrawl_analysis.report.run_analyses import AnalysisRun, result_summary
from filtercrawl_analysis.report.scope import scope_texts
from filtercrawl_analysis.report.table_view import cited_rows, row_anchor, table_view

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
    totals = {table["name"]: table["rows"] for analysis in results["analyses"] for table in analysis["tables"]}
    # What has no results comes last.
    ordered = sorted((s for s in sections if s.problem is None), key=lambda section: not section.result.tables)
    shown = [_section(section, pictures, embedded, totals) for section in ordered]
    return environment.get_template("report.html.j2").render(
        results=results,
        day=results["made"][:10],
        sections=shown,
        key_findings=key_findings(shown),
        left_out=results["left_out"].items(),
        mode_text=mode_text(sections, exact=results["options"]["exact"]),
        **scope_texts(results),
        light=LIGHT,
        dark=DARK,
    )


def mode_text(sections: Iterable[AnalysisRun], *, exact: bool) -> str:
    """Return whether results are from sketches or from kernels, with the analyses that read kernels anyway."""
    if exact:
        return "exact, from the kernels"
    names = [section.name for section in sections if section.reads_kernels and section.result.tables]
    return f"from sketches; from kernels: {', '.join(names)}" if names else "from sketches"


def sanitize(value: object) -> object:
    """Replace unprintable characters in text: control characters, and marks that change the reading direction."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)


def fit_budget(pictures: Mapping[str, RenderedFigure], budget: int) -> set[str]:
    """Return the names of the figures to embed: all but the largest, so that the rest fits in `budget` bytes."""
    embedded = sorted(pictures, key=lambda name: (pictures[name].size, name))
    while sum(pictures[name].size for name in embedded) > budget:
        embedded.pop()
    return set(embedded)


def key_findings(sections: Iterable[Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return (section, finding) pairs for the top of the page: the first of each section, then the second of each."""
    sections = list(sections)
    ranked = [
        (section["name"], section["findings"][rank])
        for rank in range(KEY_FINDINGS_PER_ANALYSIS)
        for section in sections
        if len(section["findings"]) > rank
    ]
    return ranked[:MAX_KEY_FINDINGS]


def _section(
    section: AnalysisRun, pictures: Mapping[str, RenderedFigure], embedded: set[str], totals: Mapping[str, int]
) -> dict[str, Any]:
    result = section.result
    filled = {table.name for table in result.tables if table.rows.num_rows}
    return {
        "name": section.name,
        "title": section.title,
        "findings": [_finding(finding) for finding in result.findings],
        "note": result.note,
        "summary": result_summary(result),
        "notice": mode_notice(result.tables),
        "figures": [
            _figure(figure, pictures[figure.name] if figure.name in embedded else None, filled)
            for figure in result.figures
            if figure.name in pictures
        ],
        "tables": [
            table_view(table, cited_rows(result.findings, table.name), totals[table.name]) for table in result.tables
        ],
    }


def _finding(finding: Finding | str) -> dict[str, Any]:
    """Return the text of a finding, and the anchors of the rows that it is derived from."""
    if isinstance(finding, str):
        return {"text": finding, "anchors": []}
    return {"text": finding.text, "anchors": [row_anchor(finding.table or "", row) for row in finding.rows]}


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
