"""What earlier runs wrote: sections that stay in the report when only some analyses run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl_analysis.report.report_folder import ReportFolder, is_name

# What the page and results.json need of an analysis, and of its findings, tables and figures.
_NEEDED: Final = frozenset(
    {"name", "title", "reads_kernels", "note", "made", "dataset_state", "options", "findings", "tables", "figures"}
)
_NEEDED_OF_ITEMS: Final = {
    "findings": frozenset({"text", "table", "row", "other_rows", "figure", "estimate", "basis", "columns"}),
    "tables": frozenset({"name", "title", "about", "rows", "columns", "tests", "files"}),
    "figures": frozenset({"name", "title", "caption", "basis", "table", "width", "height", "files"}),
}


def read_results(folder: ReportFolder) -> dict[str, Any] | None:
    """Return the content of an earlier results.json; None if there is none, or one that cannot be used."""
    try:
        results = json.loads((folder.root / folder.results).read_bytes())
        names = [name for analysis in results["analyses"] for name in _names(analysis)]
        texts = [
            text
            for analysis in results["analyses"]
            for text in (analysis["name"], analysis["title"], analysis["dataset_state"])
        ]
        dates = [results["made"], *(analysis["made"] for analysis in results["analyses"])]
        usable = all(map(is_name, names)) and all(isinstance(text, str) for text in texts) and all(map(_is_date, dates))
        usable = usable and all(map(_is_complete, results["analyses"]))
        return results if usable and isinstance(results["sha256"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_complete(analysis: Mapping[str, Any]) -> bool:
    return analysis.keys() >= _NEEDED and all(
        item.keys() >= needed for kind, needed in _NEEDED_OF_ITEMS.items() for item in analysis[kind]
    )


def check_can_be_kept(folder: ReportFolder) -> None:
    """Check that the report that is there, if any, can be read, as one that cannot would be deleted and not kept.

    Raises:
        DatasetError: There is a results.json that this version cannot use.
    """
    path = folder.root / folder.results
    if path.is_file() and read_results(folder) is None:
        raise DatasetError(
            f"{path}: damaged or of another version, so the results of other analyses cannot be kept; run all analyses "
            "again without --only, or write elsewhere with --out"
        )


def names_of(results: Mapping[str, Any] | None) -> list[str]:
    """Return the names of all tables and figures of results."""
    return [] if results is None else [name for analysis in results["analyses"] for name in _names(analysis)]


def with_kept(
    results: dict[str, Any], earlier: Mapping[str, Any] | None, last_withdrawal: datetime | None = None
) -> dict[str, Any]:
    """Return results with the analyses of earlier runs that were not run again, in the places that they had.

    An analysis that failed this time keeps its earlier results. One of which a table or figure has the name of a new
    one is dropped, as its file is overwritten; so is one from before a model was withdrawn, which it may show.

    Args:
        results: Those of this run.
        earlier: Those of earlier runs; None if there are none.
        last_withdrawal: When a model was last withdrawn from the dataset; None if none was.
    """
    if earlier is None:
        return results
    new = {analysis["name"]: analysis for analysis in results["analyses"]}
    taken = set(names_of(results))
    analyses = {
        analysis["name"]: new.get(analysis["name"], analysis)
        for analysis in earlier["analyses"]
        if analysis["name"] in new or (_is_after(analysis, last_withdrawal) and taken.isdisjoint(_names(analysis)))
    }
    kept = [analysis for name, analysis in analyses.items() if name not in new]
    files = {path for analysis in kept for item in _items(analysis) for path in item["files"]}
    hashes = results["sha256"] | {path: digest for path, digest in earlier["sha256"].items() if path in files}
    return {**results, "analyses": [*(analyses | new).values()], "sha256": dict(sorted(hashes.items()))}


def with_dates_of_equal_run(results: dict[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return results with the dates of an earlier run that had the same ones, so that no byte changes."""
    if earlier is None or _without_dates(results) != _without_dates(earlier):
        return results
    dates = {analysis["name"]: analysis["made"] for analysis in earlier["analyses"]}
    analyses = [{**analysis, "made": dates[analysis["name"]]} for analysis in results["analyses"]]
    return {**results, "made": earlier["made"], "analyses": analyses}


def _without_dates(results: Mapping[str, Any]) -> Any:
    analyses = [{**analysis, "made": None} for analysis in results["analyses"]]
    return json.loads(json.dumps({**results, "made": None, "analyses": analyses}))


def _items(analysis: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*analysis["tables"], *analysis["figures"]]


def _names(analysis: Mapping[str, Any]) -> list[str]:
    return [item["name"] for item in _items(analysis)]


def _is_after(analysis: Mapping[str, Any], time: datetime | None) -> bool:
    return time is None or datetime.fromisoformat(analysis["made"]) > time


def _is_date(text: object) -> bool:
    return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
