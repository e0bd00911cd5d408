"""The words in which nights are told: what happens by day, how `release` runs then, and how it is to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from support.crashes.commands import Job
from support.nights.world import Untouched, World

# What happens to the zoos or to `main`.
Change = Callable[[World], object]
# What goes wrong while a release runs: given it, yields it as it runs then, or several that run at once.
Trouble = Callable[[World, Job], AbstractContextManager[list[Job]]]

PRUNE: Final = ("--prune",)
DONE: Final = (0,)
INCOMPLETE: Final = (3,)
FAILED: Final = (1,)
REFUSED: Final = (4,)


@contextmanager
def quiet(world: World, job: Job) -> Iterator[list[Job]]:
    """Let nothing go wrong."""
    yield [job]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of `release`.

    Attributes:
        options: Beyond those of every night. What the run before did not have, its output must have named.
        trouble: What goes wrong meanwhile.
        ends: The exit codes that are right.
        says: A regular expression that its output matches; of several exit codes that of a failure.
        tells: A regular expression that what the change log says of the version matches.
        untouched: What is not asked yet when it ends.
    """

    options: tuple[str, ...] = PRUNE
    trouble: Trouble = quiet
    ends: tuple[int, ...] = DONE
    says: str = ""
    tells: str = ""
    untouched: Untouched | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    """The command in backticks that the output before ends with, run as it stands; it is to end with 0.

    Attributes:
        then: What people do after it.
    """

    then: Change


@dataclass(frozen=True, kw_only=True)
class Night:
    """A kind of night.

    Attributes:
        day: What happens before.
        runs: The release; then what people do about it, on the same machine.
        empty: Whether the machine is empty; None where either will do.
        mounts: Whether it needs to mount a disk.
    """

    day: tuple[Change, ...] = ()
    runs: tuple[Run | Named, ...] = (Run(),)
    empty: bool | None = None
    mounts: bool = False


def again(
    trouble: Trouble, *, ends: tuple[int, ...], says: str = "", untouched: Untouched | None = None
) -> tuple[Run, ...]:
    """Return a run with which something goes wrong, and another with which nothing does."""
    return Run(trouble=trouble, ends=ends, says=says, untouched=untouched), Run()
