"""A release that is first written down, then approved, then done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings, resolve
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.report import SyncReport

_FORMAT: Final = 1
# What decides about the content of a release. All else may differ when it is applied: the number of jobs, and what is
# opted out, which is honoured on every run.
_DECIDING: Final = ("kernel_size", "license", "prune", "retry")


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """head: the commit of the repo that the plan was made for, None for an empty one. sources: counts and costs."""

    repo: str
    head: str | None
    selectors: tuple[str, ...]
    settings: Mapping[str, Any]
    approval: Approval
    sources: Mapping[str, Any]

    @classmethod
    def of(cls, repo: str, head: str | None, selectors: Sequence[str], settings: Settings, report: SyncReport) -> Self:
        return cls(
            repo=repo,
            head=head,
            selectors=tuple(selectors),
            settings={name: getattr(settings, name) for name in _DECIDING},
            approval=report.proposal or Approval(),
            sources={source: cost.to_dict() for source, cost in sorted(report.by_source.items())},
        )

    @classmethod
    def read(cls, path: Path, repo: str) -> Self:
        """Read a plan for `repo`; raises UsageError for one of another repo and for what is none."""
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != _FORMAT or set(content["settings"]) != set(_DECIDING):
                raise UsageError(f"{path}: is a plan of another version of this program; make it again")
            found = cls(
                repo=str(content["repo"]),
                head=content["head"],
                selectors=tuple(map(str, content["selectors"])),
                settings=content["settings"],
                approval=Approval.from_json(content),
                sources=content["sources"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"{path}: cannot be read as a plan ({type(error).__name__}: {error})") from error
        if found.repo != repo:
            raise UsageError(f"{path}: is a plan for {found.repo}, not for {repo}")
        return found

    def write(self, path: Path) -> None:
        content = {
            "format": _FORMAT, "repo": self.repo, "head": self.head, "selectors": list(self.selectors),
            "settings": dict(self.settings), **self.approval.to_dict(), "sources": dict(self.sources),
        }  # fmt: skip
        try:
            path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        except OSError as error:
            raise UsageError(f"{path}: the plan cannot be written ({error.strerror or error})") from error

    def applied(self, settings: Settings) -> Settings:
        """Return the settings with those by which the plan was made."""
        chosen = {name: value for name, value in self.settings.items() if value}
        wanted = resolve(chosen)
        values: dict[str, Any] = {"license": (), "prune": False} | {name: getattr(wanted, name) for name in chosen}
        return replace(settings, **values)
