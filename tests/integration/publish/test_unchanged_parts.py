"""Parts of tables that two versions have alike are not compared row by row, and the result is as if they were."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from conftest import NOW, Sync
from filtercrawl.api.errors import PolicyError
from filtercrawl.transport import network
from filtercrawl_publish.comparison import DatasetSnapshot, compare_snapshots
from filtercrawl_publish.comparison.snapshot import set_unchanged_apart
from filtercrawl_publish.publishing import PublishOptions, publish_version
from filtercrawl_publish.publishing.staging import clear_pending, stage_version
from filtercrawl_publish.releasing.loss_guard import check_losses
from filtercrawl_publish.repository.folder import FolderRepository
from filtercrawl_publish.repository.open import open_repository
from support.zoo_files import put, state


def encoded_otherwise(dataset: Path, copy: Path) -> Path:
    """Copy a dataset so that its tables have the same rows and other bytes."""
    shutil.copytree(dataset, copy)
    for table in ("models", "index", "sketches"):
        for path in (copy / "data" / table).iterdir():
            pq.write_table(pq.read_table(path), path, compression="none")
    return copy


def test_the_difference_is_that_of_all_rows(run_sync: Sync, dataset: Path, zoo: Path, tmp_path: Path) -> None:
    for version, names in (("v1", ("a", "b", "copy")), ("v2", ("gone", "stays"))):
        for name in names:
            put(zoo / f"{name}.safetensors", state(ord(name[0]) % 3))  # some have the same weights
        run_sync()
        stage_version(dataset, version)
        clear_pending(dataset)
    before = Path(shutil.copytree(dataset, tmp_path / "before"))
    put(zoo / "new.safetensors", state(7, width=8))
    (zoo / "gone.safetensors").unlink()
    run_sync(prune=True)
    sides = [DatasetSnapshot.open(folder, folder.name) for folder in (before, dataset)]
    other = DatasetSnapshot.open(encoded_otherwise(before, tmp_path / "other"), "before")
    unchanged = {path.relative_to(dataset / "data").as_posix() for path in set_unchanged_apart(*sides)[2].parts()}
    assert unchanged >= {"index/part.parquet", "models/part.parquet", "sketches/part.parquet"}
    assert not list(set_unchanged_apart(other, sides[1])[2].parts())
    found = compare_snapshots(*sides)
    assert found.to_dict() == compare_snapshots(other, sides[1]).to_dict()
    assert found.before["models"] == 5
    assert [row["model_id"] for row in found.new] == ["local/new.safetensors"]
    assert [row["model_id"] for row in found.gone] == ["local/gone.safetensors"]


class Recording(FolderRepository):
    """A repository that notes what is fetched."""

    fetched: list[str]

    def fetch(self, paths: Iterable[str], revision: str, folder: Path) -> None:
        paths = list(paths)
        self.fetched += paths
        super().fetch(paths, revision, folder)


@pytest.fixture
def repository(run_sync: Sync, dataset: Path, zoo: Path, tmp_path: Path) -> Recording:
    """A repository with one version of three networks."""
    for seed in range(3):
        put(zoo / f"{seed}.safetensors", state(seed))
    run_sync()
    publish_version(dataset, open_repository(f"{tmp_path}/repo", network()), PublishOptions(version="v1", now=NOW))
    found = Recording(tmp_path / "repo")
    found.fetched = []
    return found


def test_only_changed_parts_are_asked_whether_they_lack_something(
    repository: Recording, run_sync: Sync, dataset: Path, zoo: Path
) -> None:
    put(zoo / "new.safetensors", state(9))
    run_sync()
    check_losses(repository, repository.resolve(), dataset, max_lost=0.0)
    assert repository.fetched == []


def test_what_is_lost_is_a_share_of_all(repository: Recording, run_sync: Sync, dataset: Path, zoo: Path) -> None:
    (zoo / "1.safetensors").unlink()
    run_sync(prune=True)
    with pytest.raises(PolicyError, match=r"2 of 6 rows of layers \(33.3 %\): local/1"):
        check_losses(repository, repository.resolve(), dataset, max_lost=0.3)
    check_losses(repository, repository.resolve(), dataset, max_lost=0.4)


def test_weights_that_moved_to_a_new_part_are_not_lost(
    repository: Recording, run_sync: Sync, dataset: Path, zoo: Path
) -> None:
    put(zoo / "1.safetensors", state(9))
    put(zoo / "another.safetensors", state(1))
    run_sync()
    check_losses(repository, repository.resolve(), dataset, max_lost=0.0)
