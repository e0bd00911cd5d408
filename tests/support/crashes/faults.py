"""Other ways for a command to fail: disk, memory, clock, interrupts, damaged files; each followed by a quiet run."""

from __future__ import annotations

import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from filtercrawl_publish.verification import verify_folder
from support.crashes.checks import faults_at_end, faults_between, faults_of_output
from support.crashes.commands import CLOCK, Commands, Ended, Job
from support.crashes.ledger import faults_of_tables, faults_of_zoo
from support.crashes.stories import SYNC, Stories, Story, found
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
        """Disturb commands so often in each way, each command in turn, or until then by `time.monotonic`.

        Args:
            names: The stories.
            each: How often in each way.
            until: The end by `time.monotonic`.
            show: Gets a line for each finding, and one when each kind had its turn.
        """
        done = Disturbed()
        order = {kind: self._random.sample(names, len(names)) for kind in self.KINDS}
        for number in range(each):
            for kind in self.KINDS:
                if time.monotonic() > until:
                    return done
                done.counts[kind] += 1
                for fault in self.disturb(kind, order[kind][number % len(names)]):
                    done.findings.append(fault)
                    show(fault)
            show(f"{done.counts.total()} disturbances, {len(done.findings)} findings")
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
            story,
            replace(self._job(story), memory=self._random.randrange(300 * _MEGABYTE)),
            (0, 1, 3, -signal.SIGABRT),  # the last where a library of C++ ends the process
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
        return verify(story) + _other_layers(story)

    def damaged_catalog(self, name: str) -> list[str]:
        story = self._start_with_dataset(name)
        path = story.work / "dataset" / _CATALOG
        path.write_bytes(damaged_database(path.read_bytes(), self._random.randrange(1 << 30)))
        ended = self._commands.run(self._job(story))
        faults = faults_of_output(ended)
        if ended.status == 1 and "--rebuild" not in ended.output:
            faults.append(f"names no way back: {ended.output}")
        if ended.status:
            again = story.arguments if "local:zoo" in story.arguments else SYNC
            rebuilt = self._commands.run(replace(self._job(story), arguments=(*again, "--rebuild")))
            faults += [f"--rebuild: {fault}" for fault in self._not_finished(rebuilt)]
            faults += self._not_finished(self._commands.run(self._job(story)))
        return faults + verify(story)

    def lost_layers(self, name: str) -> list[str]:
        """Delete some layers files and cut others; a sync reads again what the last version does not have.

        Where the command reads the zoo, it has done so before: a renamed checkpoint is known by what was read of it.
        """
        story = self._start(name)
        if "local:zoo" in story.arguments:
            self._commands.run(self._job(story))
        for path in sorted((story.work / "dataset/data/layers").rglob("*.parquet")):
            how = self._random.randrange(3)
            if how == 0:
                path.unlink()
            elif how == 1:
                size = self._random.randrange(path.stat().st_size)
                path.write_bytes(path.read_bytes()[:size])
        faults = faults_of_output(self._commands.run(self._job(story)))
        faults += self._not_finished(self._commands.run(replace(self._job(story), arguments=SYNC)))
        faults += self._not_finished(self._commands.run(self._job(story)))
        if "release" in story.arguments:
            return faults + verify(story, "repo")
        return faults + verify(story) + _other_layers(story)  # `models` says how often a file was read

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

    def _start_with_dataset(self, name: str) -> Story:
        """Start where there is a dataset to damage: after the command, if there was none before it."""
        story = self._start(name)
        if not (story.work / "dataset" / _CATALOG).is_file():
            self._commands.run(self._job(story))
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
        return self._not_finished(self._commands.run(self._job(story))) + faults_at_end(story)

    def _not_finished(self, ended: Ended) -> list[str]:
        """Say what is wrong with how a command ended that nothing disturbed."""
        faults = faults_of_output(ended)
        if ended.status not in (0, 3):
            faults.append(f"the next run ends with exit code {ended.status}: {ended.output[-1500:]}")
        return faults


def _layers_and_index(files: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of layers and index, without the date in the names of the parts of a version."""
    folders = ("dataset/data/layers/", "dataset/data/index/")
    return {re.sub(r"--v[\d.]+", "--v", path): files[path] for path in files if path.startswith(folders)}


def _other_layers(story: Story) -> list[str]:
    same = _layers_and_index(found(story.work)) == _layers_and_index(story.files)
    return [] if same else ["layers or index are not those of a quiet run"]


def verify(story: Story, place: str = "dataset") -> list[str]:
    """Check all that a dataset states about itself, and that every tensor of the zoo's files is accounted for."""
    folder = story.work / place
    issues = [f"verify: {issue}" for issue in verify_folder(folder)]
    return issues + faults_of_tables(folder) + faults_of_zoo(folder, story.work / "zoo")
