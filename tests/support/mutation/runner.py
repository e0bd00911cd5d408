"""Try the mutants of a target, each in a process of its own that is forked with the imports of libraries done."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from support.mutation.operators import Mutant, mutants
from support.mutation.targets import Target
from support.paths import REPOSITORY, child_environment

Outcome = Literal["killed", "out of time", "survived", "unreached"]
# How long a trial may take: this, and so many times as long as its tests take without a change.
_SECONDS: Final = 30.0
_TIMES: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mutant that is to be tried.

    Attributes:
        module: Path below the root.
        index: Of the mutant among those of the module.
        mutant: It.
    """

    module: str
    index: int
    mutant: Mutant

    @property
    def name(self) -> str:
        """The module, and what is changed where; without a line, so that it stays as the module grows."""
        return f"{self.module} {self.mutant.name}"


def trials_of(target: Target) -> list[Trial]:
    """Return all mutants of a target."""
    return [
        Trial(module=module, index=index, mutant=mutant)
        for module in target.modules
        for index, mutant in enumerate(mutants(ast.parse((REPOSITORY / module).read_bytes())))
    ]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What the tests do without a change.

    Attributes:
        tests: Tests, or files of tests, by the `module:line` of a function that they call; the quickest first.
        seconds: How long each test takes.
    """

    tests: Mapping[str, Sequence[str]]
    seconds: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> Reached:
        """Read what `trial.Reach` has found."""
        found = json.loads(path.read_text("utf-8"))
        seconds: dict[str, float] = found["seconds"]
        order = {key: sorted(names, key=lambda name: seconds.get(name, 1e9)) for key, names in found["tests"].items()}
        return cls(tests=order, seconds=seconds)

    def usual_seconds(self, names: Sequence[str]) -> float:
        """Return how long tests, files or folders take together."""
        return sum(time for test, time in self.seconds.items() if test.startswith(tuple(names)))


class Runner:
    """Tries mutants.

    Args:
        python: A Python that starts at once, see `support.forked_python`.
        children: That which the tests start: libraries that read the environment are not imported in it.
        target: The modules and their tests.
        folder: For what the first run finds out.
    """

    def __init__(self, python: str, children: str, target: Target, folder: Path) -> None:
        self._command = (
            *(python, "-m", "support.mutation.trial", f"--root={REPOSITORY}"),
            *(f"--python={sys.executable}", f"--children={children}"),
        )
        self._target, self._folder = target, folder

    def run(self, trials: Sequence[Trial], jobs: int) -> Iterator[tuple[Trial, Outcome]]:
        """Try mutants, so many at once; yields them in order.

        Raises:
            RuntimeError: The tests fail without a change.
        """
        _ = self._reached
        with ThreadPoolExecutor(jobs) as pool:
            yield from zip(trials, pool.map(self._try, trials), strict=True)

    @cached_property
    def _reached(self) -> Reached:
        path = self._folder / "reached.json"
        modules = [f"--module={module}" for module in self._target.modules]
        run = self._start([*modules, f"--reached={path}", *self._target.tests])
        if run.returncode != 0:
            raise RuntimeError(f"the tests fail without a change:\n{run.stdout}{run.stderr}")
        return Reached.read(path)

    def _try(self, trial: Trial) -> Outcome:
        names: Sequence[str] = self._target.tests
        if trial.mutant.function is not None:
            names = self._reached.tests.get(f"{trial.module}:{trial.mutant.function}", ())
        if not names:
            return "unreached"
        seconds = _SECONDS + _TIMES * self._reached.usual_seconds(names)
        try:
            run = self._start([f"--module={trial.module}", f"--mutant={trial.index}", *names], seconds)
        except subprocess.TimeoutExpired:
            return "out of time"
        if run.returncode == 1:
            raise RuntimeError(f"{trial.name}: cannot be tried:\n{run.stdout}{run.stderr}")
        return "survived" if run.returncode == 0 else "killed"

    def _start(self, arguments: Sequence[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        # The examples of property-based tests are the same in every run.
        environment = child_environment() | {"CI": "true", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [*self._command, *arguments],
            cwd=REPOSITORY, env=environment, timeout=seconds, capture_output=True, text=True, check=False,
        )  # fmt: skip
