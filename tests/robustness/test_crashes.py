"""Commands that are killed, or lack disk, memory or time: the next run ends as if nothing had been."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator

import pytest

from support.crashes.commands import Commands, commands
from support.crashes.faults import Faults
from support.crashes.kills import Killer
from support.crashes.small_disk import can_mount
from support.crashes.stories import NAMES, Stories

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="waits for processes as Linux does")

# How many kills the long test has; `python -m support.crashes` takes any number, and prints figures.
KILLS = int(os.environ.get("FILTERCRAWL_TEST_KILLS", "40"))


@pytest.fixture(scope="module")
def server(forked_program: str) -> Iterator[Commands]:
    with commands(forked_program) as found:
        yield found


@pytest.fixture(scope="module")
def stories(server: Commands, tmp_path_factory: pytest.TempPathFactory) -> Stories:
    return Stories(server, tmp_path_factory.mktemp("stories"))


def test_killed_at_random_moments(server: Commands, stories: Stories) -> None:
    killer = Killer(server, stories, seed=1)
    killer.run(("sync", "analyze"), 4, math.inf)
    assert killer.figures.findings == []
    assert killer.figures.kills.total() >= 4


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_every_command_killed_at_random_moments(server: Commands, stories: Stories) -> None:
    killer = Killer(server, stories, seed=2)
    killer.run(NAMES, KILLS, math.inf)
    assert killer.figures.findings == []
    assert set(killer.figures.kills) == set(NAMES)


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", Faults.KINDS)
@pytest.mark.parametrize("story", ["sync", "analyze", "publish"])
def test_disturbed(kind: str, story: str, server: Commands, stories: Stories) -> None:
    if kind in ("full disk", "read-only folder") and not can_mount():
        pytest.skip("mounting a disk needs a user namespace")
    faults = Faults(server, stories, seed=3)
    assert [fault for _ in range(3) for fault in faults.disturb(kind, story)] == []
