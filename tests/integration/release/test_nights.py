"""Nights of `release` in which something happens: nothing that was published is lost, and each message leads on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from support.crashes.small_disk import can_mount
from support.nights.changes import add, delete_layers
from support.nights.kinds import KINDS, NO_SPACE
from support.nights.night import FAILED, Night, Run, again
from support.nights.scenario import Scenario, kinds_here, order
from support.nights.stage import stage
from support.nights.troubles import LATER_STEPS, disk_full_at, small_disk
from support.nights.world import World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="waits for processes as Linux does")

# The seed of the long scenario; `python -m support.nights` plays any number of nights, and prints figures.
SEED = int(os.environ.get("FILTERCRAWL_TEST_NIGHTS_SEED", "1"))
# What happens in the zoos by day, and then two machines release at once: a version costs the most.
SAMPLE = {
    "two at once": replace(KINDS["two at once"], day=KINDS["much happens in the zoos"].day, empty=False),
    **{
        kind: replace(KINDS[kind], empty=False)
        for kind in (
            "much happens on main",
            "clock ahead",
            "clock behind",
            "token cannot read",
            "token cannot write",
            "zoo down",
            "zoo half listed",
        )
    },
    "full disk": Night(
        runs=again(partial(small_disk, kilobytes=0), ends=FAILED, says=NO_SPACE), empty=True, mounts=True
    ),
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with stage(tmp_path, SEED) as made:
        yield made


@pytest.mark.timeout(900)
def test_some_nights(world: World) -> None:
    scenario = Scenario(world)
    for kind, night in SAMPLE.items():
        if kind in kinds_here():
            scenario.play(kind, night)
    assert scenario.figures.findings == []
    assert scenario.figures.nights.total() >= len(SAMPLE)
    assert min(map(len, scenario.figures.requests.values())) > 0


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.skipif(not can_mount(), reason="mounting a disk needs a user namespace")
def test_the_disk_is_full_at_a_later_step(world: World) -> None:
    scenario = Scenario(world)
    for step in LATER_STEPS:
        runs = again(partial(disk_full_at, step=step), ends=FAILED, says=NO_SPACE)
        scenario.play(f"{step}", Night(day=(add,), runs=runs, empty=False))
    assert scenario.figures.findings == []


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_thirty_nights(world: World) -> None:
    scenario = Scenario(world, thorough=True, busy=0.3)
    for kind in order(world, 30):
        scenario.play(kind, KINDS[kind])
    assert scenario.figures.findings == []
    assert set(scenario.figures.nights) >= set(kinds_here())
    assert min(map(len, scenario.figures.requests.values())) > 0
    # What is not mended is found.
    scenario.play("left as it is", Night(day=(delete_layers,), runs=(Run(options=("--dry-run",)),)))
    assert scenario.figures.findings != []
