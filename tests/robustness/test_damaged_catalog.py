"""A catalog with random bytes changed, lost layers files, a full disk, a clock that jumps: one line, and a way back."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conftest import NOW, Sync
from filtercrawl.api.errors import CheckpointError, DatasetError, NetworkError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.pipeline.crawling.full_disk import dataset_error
from filtercrawl.pipeline.retry_pause import is_due, retry_pause
from filtercrawl.python_api.status import status
from filtercrawl_publish.verification import verify_folder
from support.crafted_files import safetensors
from support.damage import damaged_database
from support.zoo_files import models, published, put, state

CATALOG = ".filtercrawl/catalog.sqlite"


@pytest.fixture
def filled(zoo: Path, dataset: Path, run_sync: Sync) -> dict[str, bytes]:
    for number in range(4):
        put(zoo / f"net{number}.safetensors", state(number))
    run_sync()
    return published(dataset)


def heals(seed: int, zoo: Path, dataset: Path, run_sync: Sync, before: dict[str, bytes]) -> None:
    """Whatever the damage, a run does its work or ends with the command that repairs the catalog, which does."""
    with Catalog(dataset):  # which brings the file up to date
        pass
    path = dataset / CATALOG
    sound = path.read_bytes()
    put(zoo / "new.safetensors", state(9))
    path.write_bytes(damaged_database(sound, seed))
    for read in (lambda: status(dataset), run_sync):
        try:
            found = read()
        except DatasetError as error:
            line = str(error)
            assert "--rebuild" in line
            assert line.isprintable()
            assert len(line) < 600
        else:
            assert not getattr(found, "failures", {})
    run_sync(rebuild=True)
    assert list(verify_folder(dataset)) == []
    assert {row["outcome"] for row in models(dataset).values()} == {"emitted"}
    assert {name for name in before if name.startswith("data/layers/")} <= published(dataset).keys()


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_catalog_ends_in_the_line_that_heals_it(
    seed: int, zoo: Path, dataset: Path, run_sync: Sync, filled: dict[str, bytes]
) -> None:
    heals(seed, zoo, dataset, run_sync, filled)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(8, 200))
def test_any_damaged_catalog_ends_in_the_line_that_heals_it(
    seed: int, zoo: Path, dataset: Path, run_sync: Sync, filled: dict[str, bytes]
) -> None:
    heals(seed, zoo, dataset, run_sync, filled)


@pytest.mark.parametrize("what", ["data/layers", "data/layers/local", "one"])
def test_deleted_layers_files_are_written_again(
    what: str, dataset: Path, run_sync: Sync, filled: dict[str, bytes]
) -> None:
    if what == "one":
        next((dataset / "data/layers").rglob("*.parquet")).unlink()
    else:
        shutil.rmtree(dataset / what)
    assert run_sync().failures == {}
    assert published(dataset) == filled
    assert list(verify_folder(dataset)) == []


def test_layers_files_that_were_cut_are_written_again(dataset: Path, run_sync: Sync, filled: dict[str, bytes]) -> None:
    for number, path in enumerate(sorted((dataset / "data/layers").rglob("*.parquet"))):
        os.truncate(path, 100 * number)
    assert run_sync().failures == {}
    assert published(dataset) == filled


def test_a_folder_of_tables_alone_is_left_as_it_is(dataset: Path, run_sync: Sync, filled: dict[str, bytes]) -> None:
    """As one has it who fetched the tables of a published version and not its layers."""
    shutil.rmtree(dataset / "data/layers")
    shutil.rmtree(dataset / ".filtercrawl")
    for _ in range(2):
        assert run_sync().to_dict()["checkpoints"]["unchanged"] == 4
        assert not (dataset / "data/layers").exists()
    run_sync(rebuild=True)
    assert published(dataset).keys() == {name for name in filled if not name.startswith("data/layers/")}


@pytest.mark.parametrize("table", ["index", "models", "ledger"])
def test_a_rebuild_that_fails_leaves_the_catalog(
    table: str, dataset: Path, run_sync: Sync, filled: dict[str, bytes]
) -> None:
    path = next((dataset / "data" / table).rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="without --rebuild, which writes it again"):
        run_sync(rebuild=True)
    run_sync()
    assert published(dataset) == filled


def test_a_clock_of_2099_does_not_make_failures_wait_till_then(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "bad.safetensors").write_bytes(safetensors(b"{"))
    run_sync(now=datetime(2099, 1, 1, tzinfo=UTC))
    assert models(dataset)["local/bad.safetensors"]["next_retry"].year == 2099
    assert set(run_sync(now=NOW).failures) == {"local/bad.safetensors"}
    assert run_sync(now=NOW + timedelta(hours=1)).checkpoints["waiting"] == 1


def test_a_pause_is_over_after_its_time_or_where_it_is_longer_than_any() -> None:
    assert [retry_pause(attempts).days for attempts in (1, 2, 6, 7, 10_000)] == [1, 2, 32, 32, 32]
    assert is_due(None, NOW)
    assert is_due(NOW, NOW)
    assert not is_due(NOW + timedelta(days=32), NOW)
    assert is_due(NOW + timedelta(days=32, seconds=1), NOW)


def test_a_full_disk_is_told_from_a_bad_checkpoint() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x.parquet")
    wrapped = NetworkError("downloaded bytes cannot be stored")
    wrapped.__cause__ = full
    for error in (full, wrapped, DatasetError("/data: cannot be written")):
        assert "/data" in str(dataset_error(error))
    assert dataset_error(CheckpointError("net.pt: cut short")) is None
    assert dataset_error(OSError(errno.EIO, "of the file that is read")) is None


SMALL_DISK = """
mount -t tmpfs -o size=$1k tmpfs "$2" && "$3" -m filtercrawl sync "local:$4" --dataset "$2/set" --jobs 1
echo "exit code $?"
mount -o remount,size=100m "$2" && "$3" -m filtercrawl sync "local:$4" --dataset "$2/set" --jobs 1
echo "exit code $?"
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("kilobytes", [50, 150, 400, 700, 1000, 1500])
def test_a_disk_that_gets_full_ends_the_run_and_fails_no_checkpoint(kilobytes: int, tmp_path: Path, zoo: Path) -> None:
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs a user namespace")
    for number in range(10):
        put(zoo / f"net{number}.safetensors", state(number))
    (tmp_path / "disk").mkdir()
    command = ["unshare", "-Urm", "bash", "-c", SMALL_DISK, "", kilobytes, tmp_path / "disk", sys.executable, zoo]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    assert "please report" not in output
    assert "failed" not in output
    assert "No space left" in output or "disk is full" in output
    assert done.stdout.count("exit code 1") == done.stdout.count("exit code 0") == 1
