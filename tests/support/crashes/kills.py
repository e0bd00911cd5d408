"""Commands that are killed again and again, each time followed by one that is not."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from support.crashes.checks import (
    faults_at_end,
    faults_between,
    faults_of_load,
    faults_of_output,
    left_in_temporary_folder,
)
from support.crashes.commands import Commands, Job
from support.crashes.scenarios import Scenario, Scenarios

# How often each command is chosen, by the first word of its scenario: those that take long less often.
_WEIGHTS: Final = {"sync": 12, "analyze": 6, "publish": 2, "release": 2}
# Most kills before the run that finishes.
_MOST_IN_A_ROW: Final = 4
# One in so many rounds reads the killed dataset with `datasets`, which takes longer than the rest.
_LOADED: Final = 8


@dataclass
class Figures:
    """What was done, by scenario, and what was found; `left` is what killed processes left in the system's /tmp."""

    kills: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    loads: int = 0
    left: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


class Killer:
    """Kills scenarios at random moments."""

    def __init__(self, commands: Commands, scenarios: Scenarios, seed: int) -> None:
        self.figures = Figures()
        self._commands = commands
        self._random = random.Random(seed)
        self._scenarios = scenarios

    def run(self, names: Sequence[str], kills: int, until: float, show: Callable[[str], None] = lambda _: None) -> None:
        """Kill so often, or until then.

        Args:
            names: The scenarios.
            kills: How many.
            until: The end by `time.monotonic`.
            show: Gets a line for each finding and each tenth round.
        """
        weights = [_WEIGHTS[name.split()[0]] for name in names]
        rounds = 0
        while self.figures.kills.total() < kills and time.monotonic() < until:
            name = names[rounds] if rounds < len(names) else self._random.choices(names, weights)[0]
            rounds += 1
            for fault in self.round(name):
                self.figures.findings.append(fault)
                show(fault)
            if rounds % 10 == 0:
                show(f"{rounds} rounds, {self.figures.kills.total()} kills, {len(self.figures.findings)} findings")

    def round(self, name: str) -> list[str]:
        """Kill one scenario up to four times, then let it finish; returns what is wrong."""
        scenario = self._scenarios[name]
        scenario.restore()
        faults, killed = [], []
        for _ in range(self._random.randint(1, _MOST_IN_A_ROW)):
            job = self._killed_job(scenario)
            ended = self._commands.run(job)
            if not ended.killed:  # it came to its end first
                faults += faults_of_output(ended)
                break
            self.figures.kills[name] += 1
            killed.append(f"event {job.event}" if job.event else f"{job.signals[0][0]:.3f} s")
            faults += faults_between(scenario.work)
        if killed and self.figures.finished.total() % _LOADED == 1:
            self.figures.loads += 1
            faults += faults_of_load(scenario.work / "dataset")
        ended = self._commands.run(Job(arguments=scenario.arguments, folder=str(scenario.work)))
        self.figures.finished[name] += 1
        faults += faults_of_output(ended)
        if ended.status not in (0, 3):
            faults.append(f"the next run ends with exit code {ended.status}: {ended.output[-1000:]}")
        faults += faults_at_end(scenario)
        self.figures.left += left_in_temporary_folder(scenario)
        return [f"{name}, killed at {', '.join(killed)}: {fault}" for fault in faults]

    def _killed_job(self, scenario: Scenario) -> Job:
        """Die at a random write, alone, or after a random time with all processes of the command."""
        if self._random.random() < 0.5:
            assert scenario.quiet.events is not None
            event = self._random.randint(1, scenario.quiet.events)
            return Job(arguments=scenario.arguments, folder=str(scenario.work), event=event)
        seconds = self._random.uniform(0.0, scenario.quiet.seconds)
        return Job(arguments=scenario.arguments, folder=str(scenario.work), signals=((seconds, signal.SIGKILL),))
