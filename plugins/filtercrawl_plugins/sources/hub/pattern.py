"""Patterns of the source `hub`: one repository, the repositories of an owner, or filters over the whole Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from filtercrawl.api.errors import UsageError

_FORMS: Final = "hub:ORG/REPO, hub:ORG/REPO/PATH, hub:ORG/*, or filters such as hub:task=image-segmentation,license=mit"
_FILTERS: Final = ("author", "dataset", "library", "license", "max_size", "min_size", "since", "tag", "task")
_NAME: Final = re.compile(r"[\w.-]+")
_GLOB: Final = re.compile(r"[\w.*?\[\]!-]+")
# `500M`, `2GiB`: all units are powers of 1024.
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)i?b?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class HubPattern:
    """A parsed pattern.

    Attributes:
        text: Canonical spelling.
        repo: `ORG/REPO`; None if the Hub is listed.
        path: Glob or folder inside the repository; None for all of it.
        names: Glob for the names of listed repositories; None for all.
        filters: Filters of the listing, by name.
        sizes: (minimum, maximum) bytes of a checkpoint, inclusive; None for no limit.
        since: Earliest time of the last commit.
    """

    text: str
    repo: str | None = None
    path: str | None = None
    names: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    sizes: tuple[int | None, int | None] = (None, None)
    since: datetime | None = None

    @classmethod
    def parse(cls, text: str | None) -> HubPattern:
        """Parse the part of a selector after the colon; raises UsageError."""
        text = (text or "").strip()
        owner, slash, rest = text.partition("/")
        if "=" in owner or not slash:
            return cls._parse_filters(text)
        repo, _, path = rest.partition("/")
        if not _NAME.fullmatch(owner):
            raise UsageError(f"hub: {owner!r} is not the name of an owner; write {_FORMS}")
        if not _GLOB.fullmatch(repo):
            raise UsageError(f"hub: {repo!r} is not the name of a repository; write {_FORMS}")
        if _NAME.fullmatch(repo):
            return cls(text=text.rstrip("/"), repo=f"{owner}/{repo}", path=path.strip("/") or None)
        if path:
            raise UsageError(f"hub: {text!r}: a path needs a single repository; write {_FORMS}")
        return cls(text=text.rstrip("/"), names=repo, filters={"author": owner})

    @classmethod
    def _parse_filters(cls, text: str) -> HubPattern:
        filters: dict[str, str] = {}
        for part in text.split(","):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or not value:
                raise UsageError(f"hub: {part.strip()!r} is neither a repository nor a filter; write {_FORMS}")
            if name not in _FILTERS:
                raise UsageError(f"hub: there is no filter {name!r}; known are {', '.join(_FILTERS)}")
            if name in filters:
                raise UsageError(f"hub: the filter {name!r} is given twice")
            filters[name] = value
        return cls(
            text=",".join(f"{name}={value}" for name, value in sorted(filters.items())),
            filters=filters,
            sizes=(_parse_size(filters, "min_size"), _parse_size(filters, "max_size")),
            since=_parse_date(filters),
        )

    def list_arguments(self) -> dict[str, Any]:
        """Return the arguments of `HfApi.list_models`."""
        tags = [self.filters[name] for name in ("tag", "library") if name in self.filters]
        if "license" in self.filters:
            tags.append(f"license:{self.filters['license'].lower()}")
        return {
            "author": self.filters.get("author"),
            "filter": tags or None,
            "pipeline_tag": self.filters.get("task"),
            "trained_dataset": self.filters.get("dataset"),
            # A push does not change the order by creation, so no repository moves to a page that was already read.
            "sort": "last_modified" if self.since else "created_at",
        }

    def matches_repo(self, repo_id: str) -> bool:
        """Return whether the name of a listed repository matches."""
        return self.names is None or fnmatchcase(repo_id.partition("/")[2], self.names)

    def matches_path(self, path: str) -> bool:
        """Return whether a path inside the repository matches."""
        return self.path is None or fnmatchcase(path, self.path) or path.startswith(f"{self.path}/")

    def size_exclusion_reason(self, size: int) -> str | None:
        """Return why a checkpoint of `size` bytes is excluded, None if it is not."""
        minimum, maximum = self.sizes
        if (minimum is None or size >= minimum) and (maximum is None or size <= maximum):
            return None
        return f"of {size} bytes{self.size_bounds_suffix}"

    @property
    def size_bounds_suffix(self) -> str:
        """The end of all reasons of `size_exclusion_reason`, by which they are recognized in a later run."""
        limits = [f"{name}={self.filters[name]}" for name in ("min_size", "max_size") if name in self.filters]
        return f", asked for {','.join(limits)}"


def _parse_size(filters: Mapping[str, str], name: str) -> int | None:
    text = filters.get(name)
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if not match:
        raise UsageError(f"hub: {name}={text}: not a size such as 500M or 2G")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def _parse_date(filters: Mapping[str, str]) -> datetime | None:
    text = filters.get("since")
    try:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"hub: since={text}: not a date such as 2024-01-31") from error
