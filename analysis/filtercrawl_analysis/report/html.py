"""The HTML report: one page that can be read by itself; its script sorts and filters tables, from files beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

import jinja2
from markupsafe import Markup

from filtercrawl_analysis.plots.theme import DARK, LIGHT
from filtercrawl_analysis.report.glossary import WORDS, format_code, link_words, word_anchor
from filtercrawl_analysis.report.kernel_picture import LayerPicture
from filtercrawl_analysis.report.sanitize import sanitize
from filtercrawl_analysis.report.scope import scope_texts
from filtercrawl_analysis.report.section_view import PageContent, PageFigure, data_uri, section_view
from filtercrawl_analysis.report.story import RULE, choose_findings, story_view

# Bytes of figures embedded in the page; further figures are only linked.
PICTURE_BYTES: Final = 6_000_000
_TEMPLATES: Final = "filtercrawl_analysis.report"
# The parts of the script, in the order in which they use each other.
_SCRIPTS: Final = ("format", "columns", "filter", "script_files", "table_fold", "page")


def render_report(results: Mapping[str, Any], content: PageContent, pictures: Sequence[LayerPicture]) -> str:
    """Return the HTML page.

    Args:
        results: Content of results.json.
        content: Rows of its tables, and its figures.
        pictures: Kernels of the dataset.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_TEMPLATES, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=sanitize,
    )
    environment.filters.update(
        count="{:,}".format, printable=sanitize, link_words=link_words, code=format_code, word_anchor=word_anchor
    )
    script = page_script()
    # What has no results comes last.
    analyses = sorted(results["analyses"], key=lambda analysis: not analysis["tables"])
    by_name = {analysis["name"]: analysis for analysis in analyses}
    chosen = choose_findings(analyses, content.embedded)
    story = [story_view(by_name[name], finding, content, results) for name, finding in chosen]
    return environment.get_template("report.html.j2").render(
        results=results,
        day=results["made"][:10],
        prefix=content.prefix,
        sections=[section_view(analysis, content, results) for analysis in analyses],
        story=story,
        told={finding["figure"]["name"] for finding in story if finding["figure"]},
        rule=RULE,
        kernels=kernel_strip(pictures),
        words=WORDS.items(),
        left_out=results["left_out"].items(),
        mode_text=mode_text(analyses, exact=results["options"]["exact"]),
        **scope_texts(results),
        light=LIGHT,
        dark=DARK,
        script=Markup(script),  # noqa: S704 - files of this package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def page_script() -> str:
    """Return the script of the page, in a scope of its own."""
    folder = files(_TEMPLATES).joinpath("templates/js")
    parts = [folder.joinpath(f"{name}.js").read_text("utf-8") for name in _SCRIPTS]
    return "\n".join(['"use strict";', "(() => {", *parts, "})();"])


def kernel_strip(pictures: Iterable[LayerPicture]) -> list[dict[str, Any]]:
    """Return the pictures of kernels by model, for the template."""
    models: dict[str, list[dict[str, Any]]] = {}
    for picture in pictures:
        light, dark = (data_uri(image, "png") for image in picture.images)
        models.setdefault(picture.model_id, []).append({"picture": picture, "light": light, "dark": dark})
    return [{"model_id": model_id, "layers": layers} for model_id, layers in models.items()]


def mode_text(analyses: Iterable[Mapping[str, Any]], *, exact: bool) -> str:
    """Return whether results are from sketches or from kernels, with the analyses that read kernels anyway."""
    if exact:
        return "exact, from the kernels"
    names = [analysis["name"] for analysis in analyses if analysis["reads_kernels"] and analysis["tables"]]
    return f"from sketches; from kernels: {', '.join(names)}" if names else "from sketches"


def fit_budget(figures: Mapping[str, PageFigure], budget: int) -> frozenset[str]:
    """Return the names of the figures to embed: all but the largest, so that the rest fits in `budget` bytes."""
    embedded = sorted(figures, key=lambda name: (figures[name].size, name))
    while sum(figures[name].size for name in embedded) > budget:
        embedded.pop()
    return frozenset(embedded)
