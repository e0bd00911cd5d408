"""Interpret a query: which names its pattern selects, and what its table of settings states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from filtercrawl.api.errors import UsageError
from filtercrawl.api.source import Query


def match_names(source: str, query: Query, names: Iterable[str], *, separator: str = "") -> frozenset[str]:
    """Return the names that match the pattern of a query, or all names if it has none.

    Args:
        source: Name of the source, for messages.
        query: The query.
        names: Names of everything the source offers.
        separator: Separator between the parts of a name, if a pattern may be the first part alone: with `.`, the
            pattern `resnet50` also matches `resnet50.a1_in1k`.

    Raises:
        UsageError: No name matches.
    """
    pattern = (query.pattern or "").strip() or "*"
    matches = frozenset(
        name
        for name in names
        if fnmatchcase(name, pattern) or (separator and fnmatchcase(name, f"{pattern}{separator}*"))
    )
    if not matches:
        raise UsageError(f"{source}: no name matches {pattern!r}; try {source}:*PART* with a part of the name")
    return matches


def read_visual_categories(source: str, query: Query) -> Mapping[str, str]:
    """Return the table `[sources.NAME.visual_category]`: dataset -> category; raises UsageError if it is invalid."""
    table = query.settings.get("visual_category", {})
    if not isinstance(table, Mapping) or not all(isinstance(value, str) for value in table.values()):
        raise UsageError(f'[sources.{source}] visual_category: write a table of strings, "dataset" = "category"')
    return table


def read_flag(source: str, query: Query, key: str) -> bool:
    """Return a boolean setting, False if it is not set; raises UsageError for another type."""
    value = query.settings.get(key, False)
    if not isinstance(value, bool):
        raise UsageError(f"[sources.{source}] {key}: {value!r} is not true or false")
    return value


def read_url(source: str, query: Query, key: str) -> str | None:
    """Return a setting that is an http or https URL, None if it is not set; raises UsageError for anything else."""
    value = query.settings.get(key)
    if value is None:
        return None
    try:
        url = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        url = None
    if not isinstance(value, str) or url is None or url.scheme not in ("http", "https") or not url.netloc:
        raise UsageError(f"[sources.{source}] {key}: {value!r} is not an http or https URL")
    return value
