"""A whole release in its order: go on from the last version, sync, analyse, look at what is lost, publish."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from filtercrawl.api.analysis import Options
from filtercrawl.api.errors import BusyError, Stopped, UsageError
from filtercrawl.config import Settings, device, now
from filtercrawl.pipeline.sync import Run, sync
from filtercrawl.transport import network
from filtercrawl.transport.retry import Clock
from filtercrawl_analysis.commands.runner import run as analyse
from filtercrawl_analysis.report.run_analyses import choose
from filtercrawl_publish.publishing.base_version import Base, note
from filtercrawl_publish.publishing.preupload import Ahead
from filtercrawl_publish.publishing.publish import Release, finish, publish
from filtercrawl_publish.publishing.staging import pending
from filtercrawl_publish.release.loss_guard import guard
from filtercrawl_publish.release.plan_file import PlanFile
from filtercrawl_publish.release.restore import MODELS, restore, root_of
from filtercrawl_publish.repository.open import remote
from filtercrawl_publish.repository.version_names import next_version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from filtercrawl.api.plugin_manager import Plugins
    from filtercrawl.api.transport import Transport
    from filtercrawl.cli.progress_bar import Watch
    from filtercrawl_publish.release.run_record import Outcome, RunRecord
    from filtercrawl_publish.repository.base import Remote


@dataclass(kw_only=True)
class Night:
    """What a release is asked for. plan: where to write what it would do; approved: do that and no more."""

    repo: str
    selectors: Sequence[str]
    settings: Settings
    plugins: Plugins
    watch: Watch
    stop: threading.Event = field(default_factory=threading.Event)
    plan: Path | None = None
    approved: PlanFile | None = None
    now: datetime = field(default_factory=now)

    def rest(self, seconds: float) -> None:
        """Wait for a server that asks for it; raises Stopped as soon as the run is to end."""
        if self.stop.wait(seconds):
            raise Stopped

    def check(self) -> None:
        if self.stop.is_set():
            raise Stopped


def release(night: Night, record: RunRecord) -> None:
    """Bring a repo up to date; `record` says how far it came, also when this raises.

    Raises what its steps raise: RefusedError where a guard says no, BusyError where somebody else was faster, Stopped.
    """
    # Not that of the sync: when the budget of a night is used up, what it found is still published.
    settings = replace(night.settings.network, max_requests=None, max_bytes=None)
    transport = network(settings, clock=Clock(sleep=night.rest))
    try:
        _release(night, record, transport)
    finally:
        record.requests_to_repo = transport.requests


def _release(night: Night, record: RunRecord, transport: Transport) -> None:
    dataset = night.settings.dataset
    place = remote(night.repo, transport)
    if place.revision is not None:
        raise UsageError(f"{night.repo!r}: a release goes to the head of a repo; leave @{place.revision} out")
    with record.timed("restore"):
        if not night.settings.dry_run:
            finish(place, Release(when=night.now, say=night.watch.say))
        head = place.head()
        if night.approved is not None and night.approved.head != head:
            raise BusyError(f"{place.id}: has changed since the plan was made; make and approve a new one")
        base = restore(place, night.settings, night.watch)
    record.base = base.version if base else None
    ahead = Ahead(place=place, dataset=dataset, most=night.settings.max_disk, say=night.watch.say)
    with record.timed("sync"):
        record.report = sync(night.selectors, _run(night, base, place, ahead))
    record.look(dataset)
    if night.settings.dry_run:
        if night.plan is not None:
            PlanFile.of(place.id, head, night.selectors, night.settings, record.report).write(night.plan)
        _end(record, night.settings, "planned")
        return
    night.check()
    if not (dataset / MODELS).is_file():
        record.why = "there is nothing to publish"
        _end(record, night.settings, "unchanged")
        return
    if base is not None and root_of(dataset) == base.root:
        record.why = f"nothing changed since {base.version}"
        _end(record, night.settings, "unchanged")
        return
    with record.timed("analyze"):
        options = Options(device=str(device.choose(night.settings.device)))
        written, _ = analyse(choose(night.plugins.analyses, ()), night.settings, options, night.watch, night.stop)
        record.left_out = written.left_out
    night.check()
    with record.timed("publish"):
        if base is not None:
            guard(place, base.commit, dataset, night.settings.publish.max_lost)
        _publish(night, record, place, base)


def _run(night: Night, base: Base | None, place: Remote, ahead: Ahead) -> Run:
    """The sync of a night; weights that only the last version holds are fetched where they are needed."""

    def bring(path: str) -> None:
        if base is not None:
            night.watch.say(f"fetching {path} from {base.version}")
            place.fetch([path], base.commit, night.settings.dataset)

    return Run(
        settings=night.settings,
        plugins=night.plugins,
        progress=night.watch,
        stop=night.stop,
        now=night.now,
        approval=night.approved.approval if night.approved else None,
        bring=bring,
        held=ahead.held(ask=not night.settings.dry_run).keys(),
        make_room=ahead.make_room,
    )


def _publish(night: Night, record: RunRecord, place: Remote, base: Base | None) -> None:
    dataset, before = night.settings.dataset, pending(night.settings.dataset)
    tags = place.tags()
    # Chosen here, so that the record can name it: run.json is seen in the repo only if the commit is made.
    record.version = before if before and before not in tags else next_version(tags, night.now)
    _end(record, night.settings, "published")
    record.write(dataset)
    try:
        found = publish(
            dataset,
            place,
            Release(
                version=record.version,
                when=night.now,
                sign_key=night.settings.publish.sign_key,
                max_disk=night.settings.max_disk,
                say=night.watch.say,
            ),
        )
    except BaseException:
        record.version = None
        raise
    record.warnings = found.warnings
    if found.what != "published":
        record.version, record.why = None, f"nothing new since {base.version if base else found.version}"
        _end(record, night.settings, "unchanged")
    if found.commit is not None:
        name = found.version or (base.version if base else found.commit)
        note(dataset, Base(repo=place.id, version=name, commit=found.commit, root=root_of(dataset) or ""))


def _end(record: RunRecord, settings: Settings, outcome: Outcome) -> None:
    code = record.report.exit_code(settings)
    if record.left_out and settings.fail_on != "none":
        code = 3
    record.exit_code = code
    record.outcome = "incomplete" if code else outcome
