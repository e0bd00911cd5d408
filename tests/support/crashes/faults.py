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
from support.crashes.scenarios import SYNC, Scenario, Scenarios, found
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

    def __init__(self, commands: Commands, scenarios: Scenarios, seed: int) -> None:
        self._commands = commands
        self._scenarios = scenarios
        self._random = random.Random(seed)

    def run(
        self, names: Sequence[str], each: int, until: float, show: Callable[[str], None] = lambda _: None
    ) -> Disturbed:
        """Disturb commands so often in each way, each command in turn, or until then by `time.monotonic`.

        Args:
            names: The scenarios.
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
        """Disturb a scenario in one of `KINDS` of ways; returns what is wrong."""
        return [f"{kind}, {name}: {fault}" for fault in self.KINDS[kind](self, name)]

    def full_disk(self, name: str) -> list[str]:
        scenario = self._start(name)
        kilobytes = self._random.choice([0, 20, 50, 100, 200, 300, 400, 500, 700, 1000])
        return self._disturb(scenario, replace(self._job(scenario), disk=kilobytes), (0, 1, 3))

    def read_only_folder(self, name: str) -> list[str]:
        scenario = self._start(name)
        return self._disturb(scenario, replace(self._job(scenario), read_only=True), (0, 1, 3))

    def out_of_memory(self, name: str) -> list[str]:
        scenario = self._start(name)
        return self._disturb(
            scenario,
            replace(self._job(scenario), memory=self._random.randrange(300 * _MEGABYTE)),
            (0, 1, 3, -signal.SIGABRT),  # the last where a library of C++ ends the process
        )

    def interrupt(self, name: str) -> list[str]:
        scenario = self._start(name)
        signals = ((self._moment(scenario), signal.SIGINT),)
        return self._disturb(scenario, replace(self._job(scenario), signals=signals), (0, 3, 130))

    def interrupt_twice(self, name: str) -> list[str]:
        scenario = self._start(name)
        first = self._moment(scenario)
        signals = ((first, signal.SIGINT), (first + self._random.choice([0.0, 0.05, 0.3]), signal.SIGINT))
        return self._disturb(scenario, replace(self._job(scenario), signals=signals), (0, 3, 130, -signal.SIGINT))

    def clock(self, name: str) -> list[str]:
        """Years wrong in a run that is killed, and in the next; dates are what may differ."""
        scenario = self._start(name)
        for event in (self._random.randint(1, scenario.quiet.events or 1), None):
            clock = max(0, CLOCK + self._random.randrange(-60, 60) * 365 * 86400)
            ended = self._commands.run(replace(self._job(scenario), clock=clock, event=event))
            faults = faults_of_output(ended) + faults_between(scenario.work)
            if faults:
                return faults
        self._commands.run(self._job(scenario))
        return verify(scenario) + _other_layers(scenario)

    def damaged_catalog(self, name: str) -> list[str]:
        scenario = self._start_with_dataset(name)
        path = scenario.work / "dataset" / _CATALOG
        path.write_bytes(damaged_database(path.read_bytes(), self._random.randrange(1 << 30)))
        ended = self._commands.run(self._job(scenario))
        faults = faults_of_output(ended)
        if ended.status == 1 and "--rebuild" not in ended.output:
            faults.append(f"names no way back: {ended.output}")
        if ended.status:
            again = scenario.arguments if "local:zoo" in scenario.arguments else SYNC
            rebuilt = self._commands.run(replace(self._job(scenario), arguments=(*again, "--rebuild")))
            faults += [f"--rebuild: {fault}" for fault in self._not_finished(rebuilt)]
            faults += self._not_finished(self._commands.run(self._job(scenario)))
        return faults + verify(scenario)

    def lost_layers(self, name: str) -> list[str]:
        """Delete some layers files and cut others; a sync reads again what the last version does not have.

        Where the command reads the zoo, it has done so before: a renamed checkpoint is known by what was read of it.
        """
        scenario = self._start(name)
        if "local:zoo" in scenario.arguments:
            self._commands.run(self._job(scenario))
        for path in sorted((scenario.work / "dataset/data/layers").rglob("*.parquet")):
            how = self._random.randrange(3)
            if how == 0:
                path.unlink()
            elif how == 1:
                size = self._random.randrange(path.stat().st_size)
                path.write_bytes(path.read_bytes()[:size])
        faults = faults_of_output(self._commands.run(self._job(scenario)))
        faults += self._not_finished(self._commands.run(replace(self._job(scenario), arguments=SYNC)))
        faults += self._not_finished(self._commands.run(self._job(scenario)))
        if "release" in scenario.arguments:
            return faults + verify(scenario, "repo")
        return faults + verify(scenario) + _other_layers(scenario)  # `models` says how often a file was read

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

    def _start(self, name: str) -> Scenario:
        scenario = self._scenarios[name]
        scenario.restore()
        return scenario

    def _start_with_dataset(self, name: str) -> Scenario:
        """Start where there is a dataset to damage: after the command, if there was none before it."""
        scenario = self._start(name)
        if not (scenario.work / "dataset" / _CATALOG).is_file():
            self._commands.run(self._job(scenario))
        return scenario

    def _job(self, scenario: Scenario) -> Job:
        return Job(arguments=scenario.arguments, folder=str(scenario.work))

    def _moment(self, scenario: Scenario) -> float:
        return self._random.uniform(0.0, scenario.quiet.seconds)

    def _disturb(self, scenario: Scenario, job: Job, allowed: tuple[int, ...]) -> list[str]:
        ended = self._commands.run(job)
        faults = [] if ended.status in allowed else [f"ends with {ended.status}: {ended.output[-1500:]}"]
        return faults + faults_of_output(ended) + faults_between(scenario.work) + self._finish(scenario)

    def _finish(self, scenario: Scenario) -> list[str]:
        return self._not_finished(self._commands.run(self._job(scenario))) + faults_at_end(scenario)

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


def _other_layers(scenario: Scenario) -> list[str]:
    same = _layers_and_index(found(scenario.work)) == _layers_and_index(scenario.files)
    return [] if same else ["layers or index are not those of a quiet run"]


def verify(scenario: Scenario, place: str = "dataset") -> list[str]:
    """Check all that a dataset states about itself, and that every tensor of the zoo's files is accounted for."""
    folder = scenario.work / place
    issues = [f"verify: {issue}" for issue in verify_folder(folder)]
    return issues + faults_of_tables(folder) + faults_of_zoo(folder, scenario.work / "zoo")
