"""Which of a zoo's names a selector chooses, and what its table of settings may say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from filtercrawl.api.errors import UsageError
from filtercrawl.api.source import Query


def match_names(source: str, query: Query, names: Iterable[str], *, separator: str = "") -> frozenset[str]:
    """Return the names that match the query's pattern, all of them without one.

    part: what stands between the parts of a name; `resnet50` alone then means all that begin with `resnet50` and it.
    Raises UsageError where nothing matches.
    """
    pattern = (query.pattern or "").strip() or "*"
    found = frozenset(
        name
        for name in names
        if fnmatchcase(name, pattern) or (separator and fnmatchcase(name, f"{pattern}{separator}*"))
    )
    if not found:
        raise UsageError(f"{source}: nothing there is named {pattern!r}; try {source}:*PART* with a part of the name")
    return found


def check_settings(source: str, query: Query, *known: str) -> None:
    """Raise UsageError for a key that the table `[sources.NAME]` cannot have."""
    unknown = query.settings.keys() - set(known)
    if unknown:
        raise UsageError(f"[sources.{source}]: unknown key {min(unknown)!r}; known are {', '.join(sorted(known))}")


def read_visual_categories(source: str, query: Query) -> Mapping[str, str]:
    """Return the table `[sources.NAME.visual_category]`, dataset -> category; raises UsageError."""
    table = query.settings.get("visual_category", {})
    if not isinstance(table, Mapping) or not all(isinstance(value, str) for value in table.values()):
        raise UsageError(f'[sources.{source}] visual_category: write a table of texts, "dataset" = "category"')
    return table


def read_flag(source: str, query: Query, key: str) -> bool:
    """Return a setting that is true or false, false where it is not set; raises UsageError."""
    value = query.settings.get(key, False)
    if not isinstance(value, bool):
        raise UsageError(f"[sources.{source}] {key}: {value!r} is not true or false")
    return value
