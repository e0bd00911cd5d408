"""The record of a release in Markdown, for the page of a CI run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import format_count, format_size
from filtercrawl.dataset.card.body import escape

# Of a list, so many lines are shown.
_SHOWN: Final = 20
_TITLES: Final = {
    "published": "published {version}", "unchanged": "nothing changed, nothing published", "planned": "planned",
    "incomplete": "incomplete", "refused": "refused", "busy": "somebody else was at work", "stopped": "stopped",
    "error": "failed",
}  # fmt: skip


def markdown(record: Mapping[str, Any]) -> str:
    """Return the page for what `RunRecord.as_json` gives; text from outside is escaped."""
    return "\n".join(_lines(record)) + "\n"


def write(text: str, path: Path, *, append: bool = False) -> None:
    """Write the page anew, or behind what other steps wrote; raises UsageError where the file cannot be written."""
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path}: the summary cannot be written ({error.strerror or error})") from error


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    title = _TITLES[record["outcome"]].format(version=record["version"])
    yield f"# {escape(record['repo'])}: {escape(title)}"
    yield ""
    if record["outcome"] != "published" and record["version"] is not None:
        yield f"Published {escape(record['version'])}."
        yield ""
    if record["why"] is not None:
        yield f"{escape(record['why'])}"
        yield ""
    counts = {word: count for word, count in record["checkpoints"].items() if count}
    facts = {
        "last version": escape(record["base"] or "none"),
        "checkpoints": ", ".join(f"{format_count(count)} {word}" for word, count in counts.items()) or "none",
        "written": f"{format_count(record['layers'])} layers, {format_count(record['kernels'])} kernels",
        "read": f"{format_size(record['bytes_fetched'])} in {format_count(record['requests'])} requests",
        "left for the next time": format_count(record["left"] + len(record["deferred"])),
        "seconds": ", ".join(f"{step} {seconds:.1f}" for step, seconds in record["seconds"].items()),
    }
    yield "| | |"
    yield "|---|---|"
    yield from (f"| {name} | {value} |" for name, value in facts.items())
    failures = record["failures"]
    yield from _list("Not listed to the end", record["missing"])
    yield from _list("New failures", failures["new"])
    before = {k: v for k, v in failures["all"].items() if k not in failures["new"]}
    yield from _list("Failing since an earlier run", before)
    yield from _list("Analyses left out", record["analyses_left_out"])
    yield from _list("Warnings", dict.fromkeys(record["warnings"]))
    yield from _list("No longer offered", dict.fromkeys(record["removed"]))


def _list(title: str, items: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a heading and what there is to list, with its reason."""
    if not items:
        return
    yield ""
    yield f"## {title} ({format_count(len(items))})"
    yield ""
    for name, reason in islice(items.items(), _SHOWN):
        yield f"- {escape(name)}" + ("" if reason is None else f": {escape(reason)}")
    if len(items) > _SHOWN:
        yield f"- and {format_count(len(items) - _SHOWN)} more"
