"""What the template shows of an analysis: findings, figures and tables, from results.json and the tables."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from filtercrawl.api.analysis import SampleSize
from filtercrawl_analysis.report.cited_rows import cited_rows_link
from filtercrawl_analysis.report.mode_notice import mode_notice
from filtercrawl_analysis.report.table_view import cited_rows, finding_rows, row_anchor, table_view


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """The images of a figure that the page embeds.

    Attributes:
        shown: Those of the light and the dark theme.
        kind: Their media subtype.
    """

    shown: tuple[bytes, bytes]
    kind: Literal["svg+xml", "png"]

    @property
    def size(self) -> int:
        """Bytes of the images in base64."""
        return sum(4 * len(picture) // 3 for picture in self.shown)

    @property
    def sources(self) -> tuple[str, str]:
        """The images as data URIs."""
        light, dark = (data_uri(picture, self.kind) for picture in self.shown)
        return light, dark


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """What the page shows beside results.json.

    Attributes:
        tables: Rows of each table, or the first of them, by its name.
        figures: The figures that could be drawn, by name.
        embedded: Names of those that the page embeds; others are linked.
        prefix: What paths of files in results.json begin with, and links of the page do not.
        scripts: Rows in the script file of each table that has one.
    """

    tables: Mapping[str, pa.Table]
    figures: Mapping[str, PageFigure]
    embedded: frozenset[str]
    prefix: str
    scripts: Mapping[str, int]


def section_view(analysis: Mapping[str, Any], content: PageContent, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of an analysis.

    Args:
        analysis: Its part of results.json.
        content: Tables and figures.
        run: results.json, whose options and dataset are those of the last run.
    """
    tables = [entry for entry in analysis["tables"] if entry["name"] in content.tables]
    filled = filled_tables(analysis, content)
    figures = [figure_view(entry, content, filled) for entry in analysis["figures"] if entry["name"] in content.figures]
    return {
        "name": analysis["name"],
        "title": analysis["title"],
        "note": analysis["note"],
        "day": analysis["made"][:10],
        "origin": origin_note(analysis, run),
        "summary": _summary(analysis, len(tables), len(figures)),
        "notice": mode_notice(content.tables[entry["name"]] for entry in tables),
        "findings": [finding_view(finding, filled) for finding in analysis["findings"]],
        "figures": figures,
        "tables": [
            table_view(
                entry,
                content.tables[entry["name"]],
                cited_rows(analysis["findings"], entry["name"]),
                content.scripts.get(entry["name"], 0),
            )
            for entry in tables
        ],
    }


def origin_note(analysis: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what sets the results of an analysis apart from those of the last run; None if they are of that run.

    `outdated` is set where the layers or models of the dataset have changed since.
    """
    if analysis["dataset_state"] != run["dataset_state"]:
        text = (
            f"Of an earlier state of the dataset, as it was on {analysis['made'][:10]}: layers or models have changed "
            "since, and these results have not."
        )
        return {"text": text, "outdated": True, "command": f"filtercrawl analyze --only {analysis['name']}"}
    changed = [
        f"{name} {_setting(analysis['options'].get(name))}"
        for name in run["options"]
        if analysis["options"].get(name) != run["options"][name]
    ]
    if changed:
        text = f"Of the run of {analysis['made'][:10]}, which had other settings: {', '.join(changed)}."
        return {"text": text, "outdated": False, "command": None}
    if analysis["made"] != run["made"]:
        text = f"Of the run of {analysis['made'][:10]} over the same state of the dataset."
        return {"text": text, "outdated": False, "command": None}
    return None


def _setting(value: object) -> str:
    if isinstance(value, dict):  # the joined file
        return str(value.get("name"))
    if isinstance(value, list):
        return " ".join(map(str, value))
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else str(value)


def _summary(analysis: Mapping[str, Any], n_tables: int, n_figures: int) -> str:
    counts = (len(analysis["findings"]), "finding"), (n_figures, "figure"), (n_tables, "table")
    return ", ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts if count) or "nothing to analyze"


def filled_tables(analysis: Mapping[str, Any], content: PageContent) -> dict[str, str]:
    """Return the titles of the tables of an analysis that have rows on the page, by name."""
    return {
        entry["name"]: entry["title"]
        for entry in analysis["tables"]
        if entry["rows"] and entry["name"] in content.tables
    }


def finding_view(finding: Mapping[str, Any], filled: Mapping[str, str]) -> dict[str, Any]:
    """Return the sentence of a finding, the anchors of the rows that it is derived from, and links to what it cites."""
    rows = finding_rows(finding) if finding["table"] in filled else []
    links = [cited_rows_link(entry, filled) for entry in finding.get("cited_rows", [])]  # none in older results
    return {
        "text": finding["text"],
        "anchors": [row_anchor(finding["table"], row) for row in rows],
        "links": [link for link in links if link is not None],
    }


def figure_view(entry: Mapping[str, Any], content: PageContent, filled: Collection[str]) -> dict[str, Any]:
    """Return a figure with its caption, sample size, images and, if it is not empty, its table."""
    name = entry["name"]
    return {
        "name": name,
        "title": entry["title"],
        "caption": entry["caption"],
        "basis": format_sample_size(SampleSize(**entry["basis"])),
        "table": entry["table"] if entry["table"] in filled else None,
        "width": round(100 * entry["width"]),
        "height": round(100 * entry["height"]),
        "sources": content.figures[name].sources if name in content.embedded else None,
    }


def format_sample_size(basis: SampleSize) -> str:
    """Format a sample size: `1,024 kernels of 3 layers of 1 model`."""
    counts = ((basis.kernels, "kernel"), (basis.layers, "layer"), (basis.models, "model"))
    return " of ".join(f"{count:,} {word}{'s' * (count != 1)}" for count, word in counts)


def data_uri(picture: bytes, kind: str) -> str:
    """Return an image as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
