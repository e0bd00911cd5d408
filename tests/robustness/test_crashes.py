"""Commands that are killed, or lack disk, memory or time: the next run ends as if nothing had been."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from support.crashes.checks import faults_of_ledger
from support.crashes.commands import Commands, commands
from support.crashes.faults import Faults
from support.crashes.kills import Killer
from support.crashes.ledger import faults_of_catalog
from support.crashes.scenarios import NAMES, Scenarios
from support.crashes.small_disk import can_mount
from support.zoo_files import put, state

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="waits for processes as Linux does")

# How many kills the long test has; `python -m support.crashes` takes any number, and prints figures.
KILLS = int(os.environ.get("FILTERCRAWL_TEST_KILLS", "40"))


@pytest.fixture(scope="module")
def server(forked_program: str) -> Iterator[Commands]:
    with commands(forked_program) as found:
        yield found


@pytest.fixture(scope="module")
def scenarios(server: Commands, tmp_path_factory: pytest.TempPathFactory) -> Scenarios:
    return Scenarios(server, tmp_path_factory.mktemp("scenarios"))


def test_killed_at_random_moments(server: Commands, scenarios: Scenarios) -> None:
    killer = Killer(server, scenarios, seed=1)
    killer.run(("sync", "analyze"), 4, math.inf)
    assert killer.figures.findings == []
    assert killer.figures.kills.total() >= 4


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("DELETE FROM ledger WHERE tensor = 'stem.bias' AND model_id = 'local/b.safetensors'", "the ledger has (2, 5)"),
        ("UPDATE ledger SET reason = 'linear' WHERE tensor = 'deep.weight'", "the ledger has (1, 7)"),
        ("DELETE FROM models WHERE model_id = 'local/old.safetensors'", "old.safetensors', which is no checkpoint"),
    ],
)  # fmt: skip
def test_a_tensor_that_is_not_accounted_for_is_found(
    change: str, found: str, server: Commands, scenarios: Scenarios
) -> None:
    scenario = scenarios["analyze"]  # starts from a dataset
    scenario.restore()
    assert faults_of_catalog(scenario.work / "dataset") == faults_of_ledger(scenario.work) == []
    catalog = scenario.work / "dataset/.filtercrawl/catalog.sqlite"
    with closing(sqlite3.connect(catalog)) as database, database:
        for name in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name[0]}"')
        database.execute(change)
    assert any(found in fault for fault in faults_of_catalog(scenario.work / "dataset"))


def test_a_tensor_of_a_file_that_the_ledger_lacks_is_found(scenarios: Scenarios, tmp_path: Path) -> None:
    scenario = scenarios["analyze"]
    scenario.restore()
    shutil.copytree(scenario.work, tmp_path / "copy")
    put(tmp_path / "copy/zoo/b.safetensors", state(1) | {"another.weight": torch.ones(1)})
    (fault,) = faults_of_ledger(tmp_path / "copy")
    assert "local/b.safetensors" in fault
    assert "another.weight" in fault


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_every_command_killed_at_random_moments(server: Commands, scenarios: Scenarios) -> None:
    killer = Killer(server, scenarios, seed=2)
    killer.run(NAMES, KILLS, math.inf)
    assert killer.figures.findings == []
    assert set(killer.figures.kills) == set(NAMES)


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", Faults.KINDS)
@pytest.mark.parametrize("scenario", ["sync", "analyze", "publish", "release an update"])
def test_disturbed(kind: str, scenario: str, server: Commands, scenarios: Scenarios) -> None:
    if kind in ("full disk", "read-only folder") and not can_mount():
        pytest.skip("mounting a disk needs a user namespace")
    faults = Faults(server, scenarios, seed=3)
    assert [fault for _ in range(3) for fault in faults.disturb(kind, scenario)] == []
