"""The release pipeline: restore the last version, sync, analyze, guard against losses, publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import Cancelled, ConflictError, FiltercrawlError
from filtercrawl.api.formatting import format_plural
from filtercrawl.api.transport import Transport
from filtercrawl.config import Settings, step_summary
from filtercrawl.dataset.files.table_files import has_table
from filtercrawl.pipeline.composition import Outline
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl_publish.publishing.base_version import BaseVersion, record_base
from filtercrawl_publish.publishing.deferred_files import fetch_deferred
from filtercrawl_publish.publishing.options import PublishOptions
from filtercrawl_publish.publishing.overwrite_guard import check_overwrite
from filtercrawl_publish.publishing.preupload import LayerUploader
from filtercrawl_publish.publishing.publish import publish_version
from filtercrawl_publish.publishing.repair import repair_head
from filtercrawl_publish.publishing.repository_layer_store import RepositoryLayerStore
from filtercrawl_publish.publishing.repository_state import complete_interrupted_publish
from filtercrawl_publish.publishing.space import choose_space, update_space
from filtercrawl_publish.publishing.version_choice import check_clock, choose_version
from filtercrawl_publish.releasing.analyze_version import analyze_version
from filtercrawl_publish.releasing.loss_guard import check_losses, check_planned_losses
from filtercrawl_publish.releasing.markdown import release_summary, write_summary
from filtercrawl_publish.releasing.notify import notify
from filtercrawl_publish.releasing.outline import open_outline
from filtercrawl_publish.releasing.plan_file import PlanFile
from filtercrawl_publish.releasing.published_version import (
    PublishedVersion,
    check_continued,
    manifest_root,
    published_version,
)
from filtercrawl_publish.releasing.report import ReleaseOutcome, ReleaseReport, private_texts
from filtercrawl_publish.releasing.request import ReleaseRequest
from filtercrawl_publish.releasing.restore import restore_version
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.errors import version_exists
from filtercrawl_publish.repository.open import open_head

__all__ = ["run_release"]

# Outcomes by the exit code of an error.
_OUTCOMES: Final[Mapping[int, ReleaseOutcome]] = {4: "refused", 5: "busy"}


def run_release(request: ReleaseRequest) -> ReleaseReport:
    """Sync, analyze and publish the next version of a repository, if anything changed.

    However it ends, `analysis/run.json` and the summary are written and the notification command runs. If the process
    is killed, the next release continues: finished checkpoints are not read again, and a commit without a tag gets it.

    Returns:
        The report; its outcome is `stopped` if the release was cancelled.

    Raises:
        AccessDeniedError: The token may not write to the repository; found before anything is read.
        PolicyError: Too much of the last version would be lost, the dataset is another one, or a wrong clock would name
            the version.
        ConflictError: Someone else published meanwhile, or the plan is out of date.
        FiltercrawlError: What the steps raise.
    """
    settings = request.settings
    paths = [settings.dataset, Path(request.repository).parent, Path.home()]
    report = ReleaseReport(
        repository=request.repository,
        started=request.now,
        settings=settings,
        selectors=request.selectors,
        private_texts=private_texts(request.selectors, paths, request.plugins),
    )
    try:
        _release(request, report)
    except Cancelled:
        report.reason, report.outcome = "stopped by a signal", "stopped"
        report.exit_code = request.cancelled_exit_code()
    except FiltercrawlError as error:
        report.reason, report.exit_code = str(error), error.exit_code
        report.outcome = _OUTCOMES.get(error.exit_code, "error")
        error.record = report.to_dict()
        raise
    except BaseException as error:
        report.reason, report.outcome, report.exit_code = f"{type(error).__name__}: {error}", "error", 1
        raise
    finally:
        _write_outputs(request, report)
    return report


def _release(request: ReleaseRequest, report: ReleaseReport) -> None:
    transport = network(request.settings.network, cancellation=request.cancellation)
    try:
        _run_steps(request, report, transport)
    finally:
        report.repository_requests = transport.requests


def _run_steps(request: ReleaseRequest, report: ReleaseReport, transport: Transport) -> None:
    settings, progress, dataset = request.settings, request.progress, request.settings.dataset
    repository = open_head(request.repository, transport)
    choose_space(repository, settings.publish.space)
    with report.timed("restore"):
        head, version = _check_repository(request, report, repository)
        base = None if version is None else version.base
        report.base_version = base.version if base else None
        outline = None if version is None else _outline(request, repository, version)
        if version is not None and outline is None and restore_version(repository, version, settings, progress):
            request = replace(request, settings=replace(settings, rebuild=False))  # the catalog is new
    with report.timed("sync"):
        report.sync_report = sync(request.selectors, _sync_context(request, base, repository, outline))
    is_quiet = outline is not None and outline.folder.is_dir()  # else `restore` has replaced it by the dataset
    report.read_failed_models(outline.folder if outline is not None and is_quiet else dataset)
    request.cancellation.raise_if_cancelled()
    if settings.dry_run:
        if request.write_plan is not None:
            plan = PlanFile.of(repository.id, head, request.selectors, settings, report.sync_report)
            plan.write(request.write_plan)
        _update_space(request, report, repository, None)
        _set_outcome(report, settings, "planned")
        return
    if not is_quiet and not has_table(dataset, "models"):
        report.reason = "nothing to publish: the dataset is empty"
        _set_outcome(report, settings, "unchanged")
        return
    if base is not None and (is_quiet or manifest_root(dataset) == base.root):
        report.reason = _no_changes(report, base.version)
        _update_space(request, report, repository, base)
        _set_outcome(report, settings, "unchanged")
        return
    with report.timed("analyze"):
        fetch_deferred(dataset, repository)
        result = analyze_version(request.plugins.analyses, settings, progress, request.cancellation)
        report.failed_analyses, report.kept_analyses = result.failed, result.kept
    request.cancellation.raise_if_cancelled()
    with report.timed("publish"):
        if base is not None:
            check_losses(repository, base.commit, dataset, settings.publish.max_lost)
        _publish(request, report, repository, base)


def _no_changes(report: ReleaseReport, version: str | None) -> str:
    """Return why nothing is published; a limit of the run may be the reason why there is nothing new."""
    left = 0 if report.sync_report is None else report.sync_report.n_left
    rest = f", and {format_plural(left, 'checkpoint')} left for the next run" if left else ""
    return f"no changes since {version}{rest}"


def _check_repository(
    request: ReleaseRequest, report: ReleaseReport, repository: Repository
) -> tuple[str | None, PublishedVersion | None]:
    """Complete and repair what is published, and refuse what can be refused before anything is read.

    Returns:
        The head, and the version to continue; None for each where there is none.
    """
    settings = request.settings
    if not settings.dry_run:
        repository.check_token()
    options = PublishOptions(now=request.now, dry_run=settings.dry_run, progress=request.progress)
    state = complete_interrupted_publish(repository, options)
    if request.approved_plan is not None and request.approved_plan.head != state.head:
        raise ConflictError(f"{repository.id}: changed since the plan was made; make and approve a new plan")
    state, repaired = repair_head(repository, state, options)
    report.warnings, head = () if repaired is None else (repaired,), state.head
    report.finished = state.head_version if state.completed else None
    is_completed = state.completed and request.version == state.head_version  # what a killed run of this name left
    if request.version in state.tags and not is_completed:
        raise version_exists(repository.id, str(request.version))
    if request.version is None and not settings.dry_run:
        check_clock(repository, state.tags, request.now)
    check_overwrite(repository, head, None, replace=request.replace)
    return head, published_version(repository, state)


def _outline(request: ReleaseRequest, repository: Repository, version: PublishedVersion) -> Outline | None:
    """Return the outline of the last version, where it may be enough; None where the folder is to have the version.

    A plan states what reading would cost, and is applied to what it was made for; `rebuild` is asked of the tables.
    """
    settings = request.settings
    if settings.dry_run or settings.rebuild or request.approved_plan is not None:
        return None
    folder = open_outline(repository, version, settings)
    if folder is None:
        return None
    return Outline(folder=folder, restore=lambda: restore_version(repository, version, settings, request.progress))


def _sync_context(
    request: ReleaseRequest, base: BaseVersion | None, repository: Repository, outline: Outline | None
) -> SyncContext:
    """Return the context of the sync; weights that only the last version has are downloaded when they are needed."""
    uploader = LayerUploader(
        repository=repository,
        dataset=request.settings.dataset,
        max_local_bytes=request.settings.max_disk,
        progress=request.progress,
    )
    # A folder that is about to be restored forgets what was uploaded for a version of its own.
    uploaded = () if outline is not None else uploader.uploaded(ask=not request.settings.dry_run).keys()
    store = RepositoryLayerStore(
        dataset=request.settings.dataset,
        repository=repository,
        commit=base.commit if base is not None else None,
        uploaded=uploaded,
        uploader=uploader,
        progress=request.progress,
    )
    return SyncContext(
        settings=request.settings,
        plugins=request.plugins,
        progress=request.progress,
        cancellation=request.cancellation,
        now=request.now,
        approval=request.approved_plan.approval if request.approved_plan else None,
        layer_store=store,
        check_plan=lambda plan: (
            None if base is None else check_planned_losses(repository, base.commit, plan, request.settings)
        ),
        outline=outline,
    )


def _publish(request: ReleaseRequest, report: ReleaseReport, repository: Repository, base: BaseVersion | None) -> None:
    settings, dataset = request.settings, request.settings.dataset
    options = PublishOptions(
        version=request.version,
        now=request.now,
        replace=request.replace,
        sign_key=settings.publish.sign_key,
        max_disk=settings.max_disk,
        space=settings.publish.space,
        progress=request.progress,
    )
    # run.json is part of the commit, so the version is chosen before: readers see it only if the commit succeeds.
    report.version = choose_version(dataset, repository.tags(), options)
    _set_outcome(report, settings, "published")
    report.write(dataset)
    options = replace(options, version=report.version)
    try:
        result = publish_version(dataset, repository, options, lambda state: check_continued(repository, state, base))
    except BaseException:
        report.version = None
        raise
    report.warnings, report.space = (*report.warnings, *result.warnings), result.space
    if result.outcome != "published":
        report.version, report.reason = None, _no_changes(report, base.version if base else result.version)
        _set_outcome(report, settings, "unchanged")
    if result.commit is not None:
        version = result.version or (base.version if base else result.commit)
        root = manifest_root(dataset) or ""
        record_base(dataset, BaseVersion(repo=repository.id, version=version, commit=result.commit, root=root))


def _update_space(
    request: ReleaseRequest, report: ReleaseReport, repository: Repository, base: BaseVersion | None
) -> None:
    """Update the Space where no version is published now: it may be new, or have failed after the last version."""
    settings = request.settings
    options = PublishOptions(
        dry_run=settings.dry_run, replace=request.replace, space=settings.publish.space, progress=request.progress
    )
    version, commit = (base.version, base.commit) if base is not None else (None, None)
    report.space = update_space(repository, options, version, commit)
    if report.space is not None:
        report.warnings = (*report.warnings, *report.space.warnings)


def _set_outcome(report: ReleaseReport, settings: Settings, outcome: ReleaseOutcome) -> None:
    report.exit_code = report.sync_report.exit_code(settings)
    if report.failed_analyses and settings.fail_on != "none":
        report.exit_code = 3
    report.outcome = "incomplete" if report.exit_code else outcome


def _write_outputs(request: ReleaseRequest, report: ReleaseReport) -> None:
    """Write run.json and the summary, and run the notification command; failures are only reported."""
    settings, progress = request.settings, request.progress
    try:
        if not settings.dry_run:
            report.write(settings.dataset)
        content, summary = report.to_dict(), settings.publish.summary or step_summary()
        if summary is not None:
            write_summary(release_summary(content), summary, append=settings.publish.summary is None)
    except FiltercrawlError as error:
        progress.message(str(error))
    if settings.publish.notify_cmd is not None:
        problem = notify(settings.publish.notify_cmd, report.to_dict())
        if problem is not None:
            progress.message(problem)
