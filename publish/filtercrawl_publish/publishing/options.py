"""Options and results of publishing one version."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from filtercrawl.api.formatting import format_count, format_plural, format_size
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import hub_endpoint, now
from filtercrawl.display import html_table

__all__ = ["PublishOptions", "PublishOutcome", "PublishResult", "SpaceResult"]

# finished: a commit of an interrupted run got its tag. nothing: no reader-visible change. planned: a dry run.
PublishOutcome = Literal["published", "finished", "nothing", "planned"]


@dataclass(frozen=True, kw_only=True)
class PublishOptions:
    """How to publish one version.

    Attributes:
        version: The name of the version; None for that of the day in UTC.
        now: Timezone-aware; the default version name is made from it.
        dry_run: Report what would be uploaded, and write nothing.
        replace: Publish also over files of something else, or over another dataset.
        sign_key: File with the Ed25519 private key that signs the manifest; None for no signature.
        max_disk: Bytes of layers files above which the local copies of uploaded ones are deleted; None keeps all.
        space: The Space on the Hub that is to show the version: `org/name`, `auto` for the name of the dataset, or None
            for none.
        progress: Receives one line per step.
    """

    version: str | None = None
    now: datetime = field(default_factory=now)
    dry_run: bool = False
    replace: bool = False
    sign_key: Path | None = None
    max_disk: int | None = None
    space: str | None = None
    progress: Progress = field(default_factory=NullProgress)


@dataclass(frozen=True, kw_only=True)
class SpaceResult:
    """What became of the Space that shows a version.

    Attributes:
        id: `org/name`.
        outcome: `updated`; `unchanged` (it has all files already); `planned` (a dry run); `failed`.
        files: Number of files that changed, or are to change.
        problem: Why it failed, and what to do; None otherwise.
    """

    id: str
    outcome: Literal["updated", "unchanged", "planned", "failed"]
    files: int = 0
    problem: str | None = None

    @property
    def url(self) -> str:
        """The address of its page on the Hub."""
        return f"{hub_endpoint()}/spaces/{self.id}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """The problem, if there is one."""
        return () if self.problem is None else (self.problem,)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints as `space`."""
        return {
            "id": self.id,
            "what": self.outcome,
            "url": self.url,
            "files": self.files,
            "problem": self.problem,
        }

    def __str__(self) -> str:
        files = format_plural(self.files, "file")
        return {
            "updated": f"updated the Space {self.url} ({files})",
            "unchanged": f"no changes in the Space {self.url}",
            "planned": f"would update the Space {self.url} ({files})",
            "failed": f"the Space {self.id} was not updated",
        }[self.outcome]


@dataclass(frozen=True, kw_only=True)
class PublishResult:
    """What publishing did.

    Attributes:
        outcome: `published`; `finished` (the commit of an interrupted run got its tag, and nothing is new since);
            `nothing` (no change that a reader would see); `planned` (a dry run).
        repository: Its id.
        version: The latest version of the repository now; in a dry run the next one.
        commit: Its commit; None in a dry run.
        files: Number of files uploaded, or to upload.
        removed: Number of files that the version no longer has.
        bytes: Size of the uploaded files.
        warnings: Problems that do not prevent publishing.
        space: What became of the Space; None where there is to be none.
    """

    outcome: PublishOutcome
    repository: str
    version: str | None
    commit: str | None
    files: int = 0
    removed: int = 0
    bytes: int = 0
    warnings: tuple[str, ...] = ()
    space: SpaceResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what `filtercrawl publish --json` prints."""
        return {
            "what": self.outcome,
            "repo": self.repository,
            "version": self.version,
            "commit": self.commit,
            "files": self.files,
            "removed": self.removed,
            "bytes": self.bytes,
            "warnings": list(self.warnings),
            "space": self.space.to_dict() if self.space else None,
        }

    def __str__(self) -> str:
        text = {
            "published": f"published {self.version}: {self.repository} ({self._counts()})",
            "planned": f"would publish {self.version}: {self.repository} ({self._counts()})",
            "finished": f"finished {self.version}: {self.repository}; no changes since",
            "nothing": f"no changes since {self.version or 'the last commit'}: {self.repository}",
        }[self.outcome]
        return f"{text}; {self.space}" if self.space else text

    def _repr_html_(self) -> str:
        facts = {
            "repository": self.repository,
            "version": self.version,
            "commit": self.commit,
            "files": self._counts(),
            "warnings": "; ".join(self.warnings) or "none",
            **({"Space": str(self.space)} if self.space else {}),
        }
        return html_table(self.outcome, facts)

    def _counts(self) -> str:
        return f"{format_count(self.files)} files, {format_size(self.bytes)}, {format_count(self.removed)} removed"
