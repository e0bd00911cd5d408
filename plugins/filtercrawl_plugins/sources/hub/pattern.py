"""What a selector of the source `hub` asks for: a repo, the repos of an owner, or all that pass some filters."""

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
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)i?b?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class HubPattern:
    """A pattern, read. repo: `ORG/REPO`, or None where a listing is asked; path: glob or folder inside the repo.

    names: glob for the repo's name in a listing. sizes: bytes a checkpoint, inclusive. since: of the last commit.
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
        """Read the part of a selector after the colon; raises UsageError."""
        text = (text or "").strip()
        place, slash, rest = text.partition("/")
        if "=" in place or not slash:
            return cls._of_filters(text)
        repo, _, path = rest.partition("/")
        if not _NAME.fullmatch(place):
            raise UsageError(f"hub: {place!r} is no owner's name; known are {_FORMS}")
        if not _GLOB.fullmatch(repo):
            raise UsageError(f"hub: {repo!r} is no repo's name; known are {_FORMS}")
        if _NAME.fullmatch(repo):
            return cls(text=text.rstrip("/"), repo=f"{place}/{repo}", path=path.strip("/") or None)
        if path:
            raise UsageError(f"hub: {text!r}: a path needs one repo; known are {_FORMS}")
        return cls(text=text.rstrip("/"), names=repo, filters={"author": place})

    @classmethod
    def _of_filters(cls, text: str) -> HubPattern:
        filters: dict[str, str] = {}
        for part in text.split(","):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or not value:
                raise UsageError(f"hub: {part.strip()!r} is neither a repo nor a filter; known are {_FORMS}")
            if name not in _FILTERS:
                raise UsageError(f"hub: no filter is named {name!r}; known are {', '.join(_FILTERS)}")
            if name in filters:
                raise UsageError(f"hub: the filter {name!r} is given twice")
            filters[name] = value
        return cls(
            text=",".join(f"{name}={value}" for name, value in sorted(filters.items())),
            filters=filters,
            sizes=(_size(filters, "min_size"), _size(filters, "max_size")),
            since=_date(filters),
        )

    def list_arguments(self) -> dict[str, Any]:
        """Return what `HfApi.list_models` is asked."""
        tags = [self.filters[name] for name in ("tag", "library") if name in self.filters]
        if "license" in self.filters:
            tags.append(f"license:{self.filters['license'].lower()}")
        return {
            "author": self.filters.get("author"),
            "filter": tags or None,
            "pipeline_tag": self.filters.get("task"),
            "trained_dataset": self.filters.get("dataset"),
            # By creation, an order that a push in the meantime does not change: no repo slips to a page already read.
            "sort": "last_modified" if self.since else "created_at",
        }

    def matches_repo(self, repo_id: str) -> bool:
        """Tell whether a listed repo is asked for by its name."""
        return self.names is None or fnmatchcase(repo_id.partition("/")[2], self.names)

    def matches_path(self, path: str) -> bool:
        """Tell whether a path inside the repo is asked for."""
        return self.path is None or fnmatchcase(path, self.path) or path.startswith(f"{self.path}/")

    def size_exclusion_reason(self, size: int) -> str | None:
        """Say why a checkpoint of `size` bytes is left out, or None."""
        least, most = self.sizes
        if (least is None or size >= least) and (most is None or size <= most):
            return None
        return f"of {size} bytes{self.size_bounds_suffix}"

    @property
    def size_bounds_suffix(self) -> str:
        """How a reason of `refused` ends."""
        asked = [f"{name}={self.filters[name]}" for name in ("min_size", "max_size") if name in self.filters]
        return f", asked for {','.join(asked)}"


def _size(filters: Mapping[str, str], name: str) -> int | None:
    text = filters.get(name)
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if not match:
        raise UsageError(f"hub: {name}={text}: not a size such as 500M or 2G")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def _date(filters: Mapping[str, str]) -> datetime | None:
    text = filters.get("since")
    try:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"hub: since={text}: not a date such as 2024-01-31") from error
