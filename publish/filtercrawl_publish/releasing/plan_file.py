"""Plan of a release: written by a dry run, approved by a person, then applied."""

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
# Settings that determine the content of a release. Others may differ when the plan is applied, such as the number of
# jobs, and opt-outs, which every run must honor.
_CONTENT_SETTINGS: Final = ("kernel_size", "license", "prune", "restricted", "retry")


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """What a release may do.

    Attributes:
        repo: Id of the repository.
        head: The commit that the plan was made for; None for an empty repository.
        selectors: What is synced.
        settings: Those that determine the content.
        approval: The checkpoints that may be read, removed and renamed.
        sources: Counts and costs by source, for the person who approves.
    """

    repo: str
    head: str | None
    selectors: tuple[str, ...]
    settings: Mapping[str, Any]
    approval: Approval
    sources: Mapping[str, Any]

    @classmethod
    def of(cls, repo: str, head: str | None, selectors: Sequence[str], settings: Settings, report: SyncReport) -> Self:
        """Create the plan from the report of a dry run."""
        return cls(
            repo=repo,
            head=head,
            selectors=tuple(selectors),
            settings={name: getattr(settings, name) for name in _CONTENT_SETTINGS},
            approval=report.proposal or Approval(),
            sources={source: cost.to_dict() for source, cost in sorted(report.by_source.items())},
        )

    @classmethod
    def read(cls, path: Path, repo: str) -> Self:
        """Read a plan.

        Args:
            path: The file.
            repo: The repository that the plan must be for.

        Raises:
            UsageError: It is no plan, of another program version, or for another repository.
        """
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != _FORMAT or set(content["settings"]) != set(_CONTENT_SETTINGS):
                raise UsageError("the plan was written by another version of filtercrawl; make a new one")
            plan = cls(
                repo=str(content["repo"]),
                head=content["head"],
                selectors=tuple(map(str, content["selectors"])),
                settings=content["settings"],
                approval=Approval.from_json(content),
                sources=content["sources"],
            )
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"{path}: cannot be read as a plan ({type(error).__name__}: {error})") from error
        if plan.repo != repo:
            raise UsageError(f"{path}: the plan is for {plan.repo}, not for {repo}")
        return plan

    def write(self, path: Path) -> None:
        """Write the plan as JSON.

        Raises:
            UsageError: The file cannot be written.
        """
        content = {
            "format": _FORMAT, "repo": self.repo, "head": self.head, "selectors": list(self.selectors),
            "settings": dict(self.settings), **self.approval.to_dict(), "sources": dict(self.sources),
        }  # fmt: skip
        try:
            path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        except OSError as error:
            raise UsageError(f"{path}: the plan cannot be written ({error.strerror or error})") from error

    def apply_to(self, settings: Settings) -> Settings:
        """Return the settings with the values that the plan was made with."""
        stored = {name: value for name, value in self.settings.items() if value}
        resolved = resolve(stored)
        values: dict[str, Any] = {"license": (), "prune": False} | {name: getattr(resolved, name) for name in stored}
        return replace(settings, **values)
