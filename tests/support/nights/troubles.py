"""What goes wrong while a release runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from support.crashes.commands import Job
from support.hub.types import Asked, Fault
from support.nights.world import DAY, TOKEN, World

_YEARS: Final = 3 * 365
_PATIENCE: Final = 60.0
# Kilobytes that are enough for a release.
_ROOMY: Final = 20_000
# Part of the path of a request, and whether it is asked or answered: upload, commit, load check and tag.
LATER_STEPS: Final = (
    ("/preupload/main", "asked"),
    ("/commit/main", "asked"),
    ("/commit/main", "answered"),
    ("/tag/", "asked"),
    ("/tag/", "answered"),
)


@contextmanager
def watched(world: World, watch: Callable[[int, Asked, str], Fault | None]) -> Iterator[None]:
    before, world.hub.watch = world.hub.watch, watch
    try:
        yield
    finally:
        world.hub.watch = before


def _lists(asked: Asked, author: str) -> bool:
    return asked.path == "/api/models" and asked.query.get("author") == [author]


@contextmanager
def zoo_down(world: World, job: Job) -> Iterator[list[Job]]:
    """The second zoo cannot be listed."""
    status = world.choice.choice([401, 403, 404])
    with watched(world, lambda _, asked, when: Fault(status=status) if _lists(asked, "other") else None):
        yield [job]


@contextmanager
def half_listed(world: World, job: Job) -> Iterator[list[Job]]:
    """The list of the first zoo breaks off after a page."""
    status = world.choice.choice([401, 403, 404])

    def watch(_: int, asked: Asked, when: str) -> Fault | None:
        return Fault(status=status) if _lists(asked, "org") and "cursor" in asked.query else None

    with watched(world, watch):
        yield [job]


@contextmanager
def token_cannot_write(world: World, job: Job) -> Iterator[list[Job]]:
    world.hub.token = TOKEN
    try:
        yield [replace(job, environment={**job.environment, "HF_TOKEN": "hf_reader"})]
    finally:
        world.hub.token = None


@contextmanager
def token_cannot_read(world: World, job: Job) -> Iterator[list[Job]]:
    """The dataset is private, and the token is that of somebody else."""
    assert world.repo is not None
    world.repo.private = True
    try:
        with token_cannot_write(world, job) as jobs:
            yield jobs
    finally:
        world.repo.private = False


@contextmanager
def full_disk(world: World, job: Job) -> Iterator[list[Job]]:
    """There is little room or none; what is left may suffice."""
    with small_disk(world, job, world.choice.choice([0, 4, 20, 40])) as jobs:
        yield jobs


@contextmanager
def small_disk(world: World, job: Job, kilobytes: int) -> Iterator[list[Job]]:
    yield [replace(job, disk=kilobytes)]


@contextmanager
def disk_fills(world: World, job: Job) -> Iterator[list[Job]]:
    """Something else takes all room at a step that follows when the folder was found to load."""
    with disk_full_at(world, job, world.choice.choice(LATER_STEPS)) as jobs:
        yield jobs


@contextmanager
def disk_full_at(world: World, job: Job, step: tuple[str, str]) -> Iterator[list[Job]]:
    """The disk becomes full when a request whose path contains a text is asked or answered."""
    part, moment = step
    full = Path(f"{job.folder}.full")

    def watch(_: int, asked: Asked, when: str) -> Fault | None:
        if part in asked.path and when == moment:
            full.touch()
        return None

    with watched(world, watch):
        yield [replace(job, disk=_ROOMY, fills=str(full))]
    full.unlink(missing_ok=True)


@contextmanager
def clock_ahead(world: World, job: Job) -> Iterator[list[Job]]:
    """The machine's clock is ahead of the Hub's."""
    with _hub_clock(world, -_YEARS):
        yield [replace(job, environment={**job.environment, "SOURCE_DATE_EPOCH": ""})]


@contextmanager
def clock_behind(world: World, job: Job) -> Iterator[list[Job]]:
    with _hub_clock(world, _YEARS):
        yield [replace(job, environment={**job.environment, "SOURCE_DATE_EPOCH": ""})]


@contextmanager
def stated_date_ahead(world: World, job: Job) -> Iterator[list[Job]]:
    """The date is stated, so that no clock is asked, and it is wrong."""
    yield [replace(job, clock=job.clock + _YEARS * DAY)]


@contextmanager
def stated_date_behind(world: World, job: Job) -> Iterator[list[Job]]:
    yield [replace(job, clock=job.clock - _YEARS * DAY)]


@contextmanager
def _hub_clock(world: World, days: int) -> Iterator[None]:
    world.hub.ahead = timedelta(days=days)
    try:
        yield
    finally:
        world.hub.ahead = timedelta()


@contextmanager
def killed(world: World, job: Job) -> Iterator[list[Job]]:
    """The process ends by SIGKILL at one of its first writes, of which a release has more than a thousand."""
    yield [replace(job, event=world.choice.randint(1, 1200))]


@contextmanager
def killed_between_commit_and_tag(world: World, job: Job) -> Iterator[list[Job]]:
    """As if the process ended there: what it asks from then on is not answered."""
    committed = threading.Event()

    def watch(_: int, asked: Asked, when: str) -> Fault | None:
        if "/commit/main" in asked.path and when == "answered":
            committed.set()
            return None
        return Fault(status=403) if committed.is_set() else None

    with watched(world, watch):
        yield [job]


@contextmanager
def two_at_once(world: World, job: Job) -> Iterator[list[Job]]:
    """Another machine releases at the same time: both come to the commit before one is made."""
    together = threading.Barrier(2, timeout=_PATIENCE)

    def watch(_: int, asked: Asked, when: str) -> Fault | None:
        if "/commit/main" in asked.path and when == "asked" and not together.broken:
            with suppress(threading.BrokenBarrierError):
                together.wait()
                together.abort()
        return None

    with watched(world, watch):
        yield [job, replace(world.job_on(f"other-{world.day}"), arguments=job.arguments)]
