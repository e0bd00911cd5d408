"""Other ways for a command to fail: disk, memory, clock, interrupts, damaged files; each followed by a quiet run."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from filtercrawl_publish.verification import verify_folder
from support.crashes.checks import faults_at_end, faults_between, faults_of_output
from support.crashes.commands import CLOCK, Commands, Ended, Job
from support.crashes.stories import Stories, Story, found
from support.damage import damaged_database

_MEGABYTE = 1 << 20
_CATALOG = ".filtercrawl/catalog.sqlite"


@dataclass
class Disturbed:
    """What was done, by kind, and what was found."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


class Faults:
    """Disturbs commands; every method returns what is wrong then, and after the run that follows."""

    def __init__(self, commands: Commands, stories: Stories, seed: int) -> None:
        self._commands = commands
        self._stories = stories
        self._random = random.Random(seed)

    def run(
        self, names: Sequence[str], each: int, until: float, show: Callable[[str], None] = lambda _: None
    ) -> Disturbed:
        """Disturb commands so often in each way, or until then by `time.monotonic`; `show` gets every finding."""
        done = Disturbed()
        for _ in range(each):
            for kind in self.KINDS:
                if time.monotonic() > until:
                    return done
                done.counts[kind] += 1
                for fault in self.disturb(kind, self._random.choice(names)):
                    done.findings.append(fault)
                    show(fault)
        return done

    def disturb(self, kind: str, name: str) -> list[str]:
        """Disturb a story in one of `KINDS` of ways; returns what is wrong."""
        return [f"{kind}, {name}: {fault}" for fault in self.KINDS[kind](self, name)]

    def full_disk(self, name: str) -> list[str]:
        story = self._start(name)
        kilobytes = self._random.choice([0, 20, 50, 100, 200, 300, 400, 500, 700, 1000])
        return self._disturb(story, replace(self._job(story), disk=kilobytes), (0, 1, 3))

    def read_only_folder(self, name: str) -> list[str]:
        story = self._start(name)
        return self._disturb(story, replace(self._job(story), read_only=True), (0, 1, 3))

    def out_of_memory(self, name: str) -> list[str]:
        story = self._start(name)
        return self._disturb(
            story, replace(self._job(story), memory=self._random.randrange(300 * _MEGABYTE)), (0, 1, 3)
        )

    def interrupt(self, name: str) -> list[str]:
        story = self._start(name)
        signals = ((self._moment(story), signal.SIGINT),)
        return self._disturb(story, replace(self._job(story), signals=signals), (0, 3, 130))

    def interrupt_twice(self, name: str) -> list[str]:
        story = self._start(name)
        first = self._moment(story)
        signals = ((first, signal.SIGINT), (first + self._random.choice([0.0, 0.05, 0.3]), signal.SIGINT))
        return self._disturb(story, replace(self._job(story), signals=signals), (0, 3, 130, -signal.SIGINT))

    def clock(self, name: str) -> list[str]:
        """Years wrong in a run that is killed, and in the next; dates are what may differ."""
        story = self._start(name)
        for event in (self._random.randint(1, story.quiet.events or 1), None):
            clock = max(0, CLOCK + self._random.randrange(-60, 60) * 365 * 86400)
            ended = self._commands.run(replace(self._job(story), clock=clock, event=event))
            faults = faults_of_output(ended) + faults_between(story.work)
            if faults:
                return faults
        self._commands.run(self._job(story))
        same = ("dataset/data/layers/", "dataset/data/index/")
        kept = {path: digest for path, digest in found(story.work).items() if path.startswith(same)}
        expected = {path: digest for path, digest in story.files.items() if path.startswith(same)}
        return [*verify(story), *([] if kept == expected else ["layers or index are not those of a quiet run"])]

    def damaged_catalog(self, name: str) -> list[str]:
        story = self._start("sync an update")
        path = story.work / "dataset" / _CATALOG
        path.write_bytes(damaged_database(path.read_bytes(), self._random.randrange(1 << 30)))
        ended = self._commands.run(self._job(story))
        faults = faults_of_output(ended)
        if ended.status == 1 and "--rebuild" not in ended.output:
            faults.append(f"names no way back: {ended.output}")
        if ended.status:
            job = self._job(story)
            ended = self._commands.run(replace(job, arguments=(*job.arguments, "--rebuild")))
            faults += [f"--rebuild: {fault}" for fault in faults_of_output(ended)]
            if ended.status not in (0, 3):
                faults.append(f"--rebuild ends with exit code {ended.status}: {ended.output}")
        return faults + verify(story)

    def lost_layers(self, name: str) -> list[str]:
        """Delete some layers files and cut others."""
        story = self._start("sync")
        self._commands.run(self._job(story))
        for path in sorted((story.work / "dataset/data/layers").rglob("*.parquet")):
            how = self._random.randrange(3)
            if how == 0:
                path.unlink()
            elif how == 1:
                size = self._random.randrange(path.stat().st_size)
                path.write_bytes(path.read_bytes()[:size])
        return self._finish(story)

    KINDS: ClassVar[dict[str, Callable[[Faults, str], list[str]]]] = {
        "full disk": full_disk,
        "read-only folder": read_only_folder,
        "out of memory": out_of_memory,
        "Ctrl-C": interrupt,
        "Ctrl-C twice": interrupt_twice,
        "clock": clock,
        "catalog": damaged_catalog,
        "layers": lost_layers,
    }

    def _start(self, name: str) -> Story:
        story = self._stories[name]
        story.restore()
        return story

    def _job(self, story: Story) -> Job:
        return Job(arguments=story.arguments, folder=str(story.work))

    def _moment(self, story: Story) -> float:
        return self._random.uniform(0.0, story.quiet.seconds)

    def _disturb(self, story: Story, job: Job, allowed: tuple[int, ...]) -> list[str]:
        ended = self._commands.run(job)
        faults = [] if ended.status in allowed else [f"ends with {ended.status}: {ended.output[-1500:]}"]
        return faults + faults_of_output(ended) + faults_between(story.work) + self._finish(story)

    def _finish(self, story: Story) -> list[str]:
        ended: Ended = self._commands.run(self._job(story))
        faults = faults_of_output(ended)
        if ended.status not in (0, 3):
            faults.append(f"the next run ends with exit code {ended.status}: {ended.output[-1500:]}")
        return faults + faults_at_end(story)


def verify(story: Story) -> list[str]:
    """Check all that a dataset states about itself."""
    return [f"verify: {issue}" for issue in verify_folder(story.work / "dataset")]
