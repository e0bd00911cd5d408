"""A whole release in its order: go on from the last version, sync, analyse, look at what is lost, publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import ConflictError, UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import Progress
from filtercrawl.api.transport import Transport
from filtercrawl.config import Settings, device, now
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl_analysis.run.execute import execute
from filtercrawl_publish.publishing.base_version import BaseVersion, record_base
from filtercrawl_publish.publishing.layer_store import RepositoryLayerStore
from filtercrawl_publish.publishing.preupload import LayerUploader
from filtercrawl_publish.publishing.publish import PublishOptions, complete_interrupted_publish, publish
from filtercrawl_publish.publishing.staging import pending_version
from filtercrawl_publish.release.loss_guard import check_losses
from filtercrawl_publish.release.plan_file import PlanFile
from filtercrawl_publish.release.restore import MODELS, restore_version, root_of
from filtercrawl_publish.release.run_record import Outcome, RunRecord
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.open import open_repository
from filtercrawl_publish.repository.version_names import next_version


@dataclass(kw_only=True)
class ReleaseRequest:
    """What a release is asked for. plan: where to write what it would do; approved: do that and no more."""

    repo: str
    selectors: Sequence[str]
    settings: Settings
    plugins: Plugins
    watch: Progress
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    plan: Path | None = None
    approved: PlanFile | None = None
    now: datetime = field(default_factory=now)


def run_release(request: ReleaseRequest, record: RunRecord) -> None:
    """Bring a repo up to date; `record` says how far it came, also when this raises.

    Raises what its steps raise: RefusedError where a guard says no, BusyError where somebody else was faster, Stopped.
    """
    # Not that of the sync: when the budget of a night is used up, what it found is still published.
    settings = replace(request.settings.network, max_requests=None, max_bytes=None)
    transport = network(settings, cancellation=request.cancellation)
    try:
        _release(request, record, transport)
    finally:
        record.requests_to_repo = transport.requests


def _release(request: ReleaseRequest, record: RunRecord, transport: Transport) -> None:
    dataset = request.settings.dataset
    place = open_repository(request.repo, transport)
    if place.revision is not None:
        raise UsageError(f"{request.repo!r}: a release goes to the head of a repo; leave @{place.revision} out")
    with record.timed("restore"):
        if not request.settings.dry_run:
            complete_interrupted_publish(place, PublishOptions(when=request.now, log=request.watch.message))
        head = place.head()
        if request.approved is not None and request.approved.head != head:
            raise ConflictError(f"{place.id}: has changed since the plan was made; make and approve a new one")
        base = restore_version(place, request.settings, request.watch)
    record.base = base.version if base else None
    ahead = LayerUploader(
        repository=place, dataset=dataset, max_local_bytes=request.settings.max_disk, log=request.watch.message
    )
    with record.timed("sync"):
        record.report = sync(request.selectors, _run(request, base, place, ahead))
    record.read_dataset(dataset)
    if request.settings.dry_run:
        if request.plan is not None:
            PlanFile.of(place.id, head, request.selectors, request.settings, record.report).write(request.plan)
        _end(record, request.settings, "planned")
        return
    request.cancellation.raise_if_cancelled()
    if not (dataset / MODELS).is_file():
        record.why = "there is nothing to publish"
        _end(record, request.settings, "unchanged")
        return
    if base is not None and root_of(dataset) == base.root:
        record.why = f"nothing changed since {base.version}"
        _end(record, request.settings, "unchanged")
        return
    with record.timed("analyze"):
        options = AnalysisOptions(device=str(device.select_device(request.settings.device)))
        report = execute(
            request.plugins.analyses,
            request.settings,
            options,
            progress=request.watch,
            cancellation=request.cancellation,
        )
        record.left_out = dict(report.left_out)
    request.cancellation.raise_if_cancelled()
    with record.timed("publish"):
        if base is not None:
            check_losses(place, base.commit, dataset, request.settings.publish.max_lost)
        _publish(request, record, place, base)


def _run(
    request: ReleaseRequest, base: BaseVersion | None, repository: Repository, ahead: LayerUploader
) -> SyncContext:
    """Return the context of the sync; weights that only the last version has are fetched when they are needed."""
    return SyncContext(
        settings=request.settings,
        plugins=request.plugins,
        progress=request.watch,
        cancellation=request.cancellation,
        now=request.now,
        approval=request.approved.approval if request.approved else None,
        layer_store=RepositoryLayerStore(
            dataset=request.settings.dataset,
            repository=repository,
            commit=base.commit if base is not None else None,
            uploaded=ahead.uploaded(ask=not request.settings.dry_run).keys(),
            uploader=ahead,
            log=request.watch.message,
        ),
    )


def _publish(request: ReleaseRequest, record: RunRecord, repository: Repository, base: BaseVersion | None) -> None:
    dataset, before = request.settings.dataset, pending_version(request.settings.dataset)
    tags = repository.tags()
    # Chosen here, so that the record can name it: run.json is seen in the repo only if the commit is made.
    record.version = before if before and before not in tags else next_version(tags, request.now)
    _end(record, request.settings, "published")
    record.write(dataset)
    try:
        found = publish(
            dataset,
            repository,
            PublishOptions(
                version=record.version,
                when=request.now,
                sign_key=request.settings.publish.sign_key,
                max_disk=request.settings.max_disk,
                log=request.watch.message,
            ),
        )
    except BaseException:
        record.version = None
        raise
    record.warnings = found.warnings
    if found.what != "published":
        record.version, record.why = None, f"nothing new since {base.version if base else found.version}"
        _end(record, request.settings, "unchanged")
    if found.commit is not None:
        name = found.version or (base.version if base else found.commit)
        record_base(
            dataset, BaseVersion(repo=repository.id, version=name, commit=found.commit, root=root_of(dataset) or "")
        )


def _end(record: RunRecord, settings: Settings, outcome: Outcome) -> None:
    code = record.report.exit_code(settings)
    if record.left_out and settings.fail_on != "none":
        code = 3
    record.exit_code = code
    record.outcome = "incomplete" if code else outcome
