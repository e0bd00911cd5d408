"""What a release is asked to do, validated before anything starts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, now
from filtercrawl.config.source_tables import check_source_tables
from filtercrawl.pipeline.discovery.selector import default_selectors
from filtercrawl_publish.releasing.notify import split_command
from filtercrawl_publish.releasing.plan_file import PlanFile

__all__ = ["ReleaseRequest", "prepare_release"]


@dataclass(kw_only=True)
class ReleaseRequest:
    """Input of one release.

    Attributes:
        repository: `org/name` or a folder.
        selectors: What to sync.
        settings: Of all steps.
        plugins: Sources, readers and analyses.
        progress: Receives messages and progress of all steps.
        cancellation: Ends the release cleanly.
        cancelled_exit_code: Returns the exit code if it was cancelled.
        replace: Publish also where the repository holds something that is no dataset of filtercrawl.
        write_plan: In a dry run, the file for the plan.
        approved_plan: Restricts the release to this plan.
        version: The name of the version; None for that of the day.
        now: Timezone-aware; the version of the day is named after it.
    """

    repository: str
    selectors: Sequence[str]
    settings: Settings
    plugins: Plugins
    progress: Progress = field(default_factory=NullProgress)
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    cancelled_exit_code: Callable[[], int] = lambda: 128 + signal.SIGINT
    replace: bool = False
    write_plan: Path | None = None
    approved_plan: PlanFile | None = None
    version: str | None = None
    now: datetime = field(default_factory=now)


def prepare_release(
    repository: str,
    selectors: Sequence[str],
    settings: Settings,
    plugins: Plugins,
    *,
    write_plan: Path | None = None,
    apply_plan: Path | None = None,
) -> ReleaseRequest:
    """Validate a request; sends no request to the network.

    Args:
        repository: `org/name` or a folder.
        selectors: What to sync; if empty, those of the plan, else every source that needs no pattern.
        settings: Those that the plan fixes are replaced by its values.
        plugins: Sources, readers and analyses.
        write_plan: In a dry run, the file to write the plan to.
        apply_plan: A plan to apply.

    Raises:
        UsageError: The options contradict each other, or the plan, the settings or the notification command is bad.
    """
    approved = None if apply_plan is None else PlanFile.read(apply_plan, repository)
    if approved is not None:
        if selectors and tuple(selectors) != approved.selectors:
            raise UsageError(
                f"{apply_plan}: the plan is for {' '.join(approved.selectors)}; omit the selectors, or make a new plan"
            )
        settings = approved.apply_to(settings)
        selectors = approved.selectors
    check_source_tables(settings.sources, plugins)
    if write_plan is not None and not settings.dry_run:
        raise UsageError("--plan requires --dry-run")
    if settings.publish.notify_cmd is not None:
        split_command(settings.publish.notify_cmd)
    return ReleaseRequest(
        repository=repository,
        selectors=tuple(selectors or default_selectors(plugins)),
        settings=settings,
        plugins=plugins,
        write_plan=write_plan,
        approved_plan=approved,
    )
