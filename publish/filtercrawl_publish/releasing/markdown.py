"""Summary of a release in Markdown, for example for the page of a CI run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.pipeline.report import LABELS
from filtercrawl_publish.markdown_text import escape_markdown
from filtercrawl_publish.rendering import text_environment

__all__ = ["release_summary", "write_summary"]

# Items shown per list.
_MAX_LISTED: Final = 20
_TITLES: Final = {
    "published": "published {version}", "unchanged": "no changes, nothing published", "planned": "planned",
    "incomplete": "incomplete", "refused": "refused", "busy": "another run was active", "stopped": "stopped",
    "error": "failed",
}  # fmt: skip


def release_summary(record: Mapping[str, Any]) -> str:
    """Render the summary.

    Args:
        record: What `ReleaseReport.to_dict` returns. Its text is escaped.
    """
    failures, title = record["failures"], _TITLES[record["outcome"]]
    if record["finished"] is not None and record["outcome"] == "unchanged":
        title = "finished {finished}, no changes since"
    template = text_environment("filtercrawl_publish.releasing", escape_markdown).get_template("summary.md.j2")
    context = {
        **record,
        "title": title.format(**record),
        "earlier_failures": {k: v for k, v in failures["all"].items() if k not in failures["new"]},
        "warnings": dict.fromkeys(record["warnings"]),
        "removed": dict.fromkeys(record["removed"]),
        "checkpoints": {LABELS[word]: count for word, count in record["checkpoints"].items()},
        "max_listed": _MAX_LISTED,
    }
    return template.render(context)


def write_summary(text: str, path: Path, *, append: bool = False) -> None:
    """Write the summary to a file.

    Args:
        text: Markdown.
        path: The file.
        append: Keep what other steps of the CI run wrote.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path}: the summary cannot be written ({error.strerror or error})") from error
