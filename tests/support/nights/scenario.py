"""A scenario: nights one after the other, each followed by what holds after every night."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from filtercrawl_publish.verification import verify_folder
from support.crashes.commands import Ended, Job
from support.crashes.small_disk import can_mount
from support.nights import changes
from support.nights.invariants import (
    MOST_REQUESTS,
    Content,
    State,
    choose_content,
    faults_of_content,
    faults_of_main,
    faults_of_record,
    faults_of_versions,
    files_left,
    same_content,
)
from support.nights.kinds import KINDS
from support.nights.messages import faults_of_advice, faults_of_end, faults_of_json, named_commands
from support.nights.night import DONE, Named, Night, Run
from support.nights.world import Network, World, open_zoos

# The machine that keeps its folder.
_KEPT: Final = "kept"
# Temporary folders of killed processes are removed when they are older than a minute.
_HOURS_AGO: Final = 7200


@dataclass
class Figures:
    """What was played, and what was found; requests are those of nights without news, by whether a folder was kept."""

    nights: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    loads: int = 0
    requests: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in MOST_REQUESTS})
    findings: list[str] = field(default_factory=list)


class Scenario:
    """Plays nights in a world; `figures` has what was found."""

    def __init__(
        self, world: World, *, thorough: bool = False, busy: float = 0.0, show: Callable[[str], None] = lambda _: None
    ) -> None:
        """Open the zoos and make the first release.

        Args:
            world: Where it plays.
            thorough: Whether all versions are read after each run, and every hash of `main` is compared. Otherwise only
                what was not read before, and a commit by one of its names.
            busy: The share of nights before which there is a new network besides what happens.
            show: Gets a line for each night and each finding.
        """
        self.figures = Figures()
        self._world = world
        self._thorough = thorough
        self._busy = busy
        self._show = show
        self._content: dict[str, Network] = {}
        self._versions: dict[str, Content] = {}
        self._main: dict[str, Any] = {}
        self._read: dict[str, str] = {}
        self._current: dict[str, str] = {}
        open_zoos(world)
        self.play("first", Night(empty=False))

    def play(self, kind: str, night: Night) -> None:
        """Play a night and what people do after it."""
        world, started = self._world, time.monotonic()
        world.day += 1
        if world.choice.random() < self._busy:
            changes.add(world)
        empty = world.choice.random() < 0.5 if night.empty is None else night.empty
        machine = f"machine-{world.day}" if empty else _KEPT
        for change in night.day:
            change(world)
        last = ""
        for number, step in enumerate(night.runs, 1):
            if isinstance(step, Named):
                faults = list(self._follow(step, last, machine))
            else:
                previous = night.runs[number - 2] if number > 1 else None
                faults = list(faults_of_advice(step, previous, last)) if isinstance(previous, Run) else []
                last, more = self._run(step, machine)
                faults += more
            self._note(f"night {world.day}, {kind}, run {number}", faults)
        self.figures.nights[kind] += 1
        if empty:
            shutil.rmtree(world.folder / machine, ignore_errors=True)
            self._current.pop(machine, None)
        self._show(f"night {world.day}: {kind}, {machine}, {time.monotonic() - started:.1f} s")

    def _run(self, run: Run, machine: str) -> tuple[str, list[str]]:
        """Run a release; returns what it said and what is wrong."""
        world = self._world
        wants_json = run.ends != DONE and world.choice.random() < 0.5
        job = world.job_on(machine, (*run.options, *(["--json"] if wants_json else [])))
        before, left = State.of(world), files_left(Path(job.folder))
        world.hub.forget()
        with run.trouble(world, job) as jobs:
            ended = world.commands.run_at_once(*jobs)
        self.figures.runs += len(ended)
        requests = world.requests()
        faults = [fault for end in ended for fault in faults_of_end(run, end)]
        faults += [fault for end in ended if wants_json and not end.killed for fault in faults_of_json(end)]
        if len(ended) > 1 and sorted(end.status for end in ended) != sorted(run.ends):
            faults.append(f"two at once end with {[end.status for end in ended]}")
        faults += [f"asked {path} before it ended" for path in world.touched(run.untouched)]
        after = State.of(world)
        faults += faults_of_versions(before, after, world.given_up)
        faults += self._faults_of_content(run, min(end.status % 256 for end in ended), before, after)
        faults += [fault for job, end in zip(jobs, ended, strict=True) for fault in faults_of_record(job, end)]
        for job, end in zip(jobs, ended, strict=True):
            if len(jobs) > 1 and end.status:
                self.figures.runs += 1
                faults += faults_of_end(Run(), world.commands.run(job))  # as its message says
        if all(end.status == 0 for end in ended):
            faults += faults_of_main(world)
            if after == before:
                faults += self._faults_of_requests(machine, before, requests)
            self._current[machine] = after.head or ""
        faults += self._faults_of_files(jobs, ended, left, published=after.tags != before.tags)
        return "\n".join(end.output for end in ended), faults

    def _follow(self, step: Named, said: str, machine: str) -> Iterator[str]:
        """Run the command that an output names."""
        commands = named_commands(said)
        if not commands:
            yield f"names no command: {said[-1000:]}"
            return
        job = self._world.job_on(machine)
        before = State.of(self._world)
        ended = self._world.commands.run(Job(
            arguments=commands[0].split()[1:], folder=job.folder, clock=job.clock, environment=job.environment,
        ))  # fmt: skip
        self.figures.runs += 1
        if ended.status:
            yield f"`{commands[0]}` ends with {ended.status}: {ended.output[-1500:]}"
        step.then(self._world)
        after = State.of(self._world)
        yield from faults_of_versions(before, after, self._world.given_up)
        for tag in after.tags.keys() - before.tags.keys():
            self._versions[tag] = dict(self._content)

    def _faults_of_content(self, run: Run, status: int, before: State, after: State) -> Iterator[str]:
        """Read what is published, with the real clients, and compare it with what is to be there."""
        if after.head is None:
            return
        at = {**after.tags, "main": after.head}
        revisions = [name for name, commit in at.items() if self._thorough or self._read.get(name) != commit]
        once = {at[name]: name for name in reversed(revisions)}  # the versions come before main
        try:
            found = self._world.read(revisions if self._thorough else [*once.values()]) if revisions else {}
        except AssertionError as error:
            yield str(error)
            return
        found |= {name: found[once[at[name]]] for name in revisions if name not in found}
        self.figures.loads += len(found)
        self._read |= {name: at[name] for name in found}
        self._main = found.get("main", self._main)
        published, self._content = self._content, dict(self._expected(run, status))
        yield from (f"main: {fault}" for fault in faults_of_content(self._main, self._content))
        for name in after.tags:
            expected = self._versions.setdefault(name, self._content)
            if name in found:
                yield from (f"{name}: {fault}" for fault in faults_of_content(found[name], expected))
        if after.tags.keys() > before.tags.keys() and not re.search(run.tells, self._world.change_log()):
            yield f"the change log does not tell {run.tells!r}: {self._world.change_log()}"
        is_news = not same_content(published, self._content)
        if after.tags.keys() > before.tags.keys() and before.head in before.tags.values() and not is_news:
            yield "a version without news"
        if self._thorough:
            yield from (f"verify: {issue}" for issue in verify_folder(Path(self._main["folder"])))

    def _expected(self, run: Run, status: int) -> Content:
        """Return what `main` is to hold: with 0 what is offered, with 3 also what it held, else one of these."""
        world, before = self._world, self._content
        keeps = "--restricted" not in run.options
        gated = world.by_id(gated=True).keys() & before.keys() if keeps else set[str]()
        kept = {model_id: replace(before[model_id], gated=True) for model_id in gated}
        complete = world.by_id(gated=False) | kept
        if status == 3:
            return choose_content(self._main, before, complete)
        return complete if status == 0 or list(faults_of_content(self._main, before)) else before

    def _faults_of_requests(self, machine: str, before: State, requests: int) -> Iterator[str]:
        kind = "kept" if self._current.get(machine) == before.head else "empty"
        self.figures.requests[kind].append(requests)
        if requests > MOST_REQUESTS[kind]:
            yield f"{requests} requests in a night without news, {kind} folder, at most {MOST_REQUESTS[kind]} are right"

    def _faults_of_files(
        self, jobs: Sequence[Job], ended: Sequence[Ended], left: set[Path], *, published: bool
    ) -> Iterator[str]:
        for job, end in zip(jobs, ended, strict=True):
            now = files_left(Path(job.folder))
            if end.killed:
                for path in now:
                    for each in (path, *path.rglob("*")):
                        os.utime(each, (time.time() - _HOURS_AGO,) * 2, follow_symlinks=False)
            elif there := now if published and not end.status else now - left:
                yield f"left {', '.join(map(str, sorted(there)))}"

    def _note(self, where: str, faults: Sequence[str]) -> None:
        for fault in faults:
            self.figures.findings.append(f"{where}: {fault}")
            self._show(f"FAULT {where}: {fault}")


def kinds_here() -> list[str]:
    """Return the kinds of nights that can be played on this machine."""
    return [name for name, night in KINDS.items() if not night.mounts or can_mount()]


def order(world: World, nights: int) -> list[str]:
    """Choose which nights come: each kind once, then any, in an order by chance."""
    kinds = kinds_here()
    chosen = world.choice.sample(kinds, min(nights, len(kinds)))
    chosen += world.choice.choices(kinds, k=nights - len(chosen))
    world.choice.shuffle(chosen)
    return chosen
