"""Layers files of a dataset that is open for writing: moved in, counted, found again, copied."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.dataset.tables.staged_layers import StagedLayers
from support.stored_checkpoints import Repository, model_row, stage, weight, writable_dataset


@pytest.fixture
def data(tmp_path: Path) -> Iterator[WritableDataset]:
    with writable_dataset(tmp_path) as opened:
        yield opened


def install(data: WritableDataset, name: str, seed: int = 0) -> tuple[StagedLayers, Path]:
    """Install the layers of a checkpoint; returns them, and their file in the folder."""
    layers = stage(data.folder, f"lab/{name}", seed)
    data.install_layers(layers)
    return layers, data.folder / str(layers.path)


def test_a_staged_file_is_moved_into_the_folder_and_noted(data: WritableDataset) -> None:
    layers = stage(data.folder, "lab/net")
    assert layers.staged is not None
    content = layers.staged.read_bytes()
    data.install_layers(layers)
    assert not layers.staged.exists()
    assert (data.folder / str(layers.path)).read_bytes() == content
    noted = (layers.path, len(content), hashlib.sha256(content).hexdigest())
    assert list(data.catalog.layer_files()) == [noted]


def test_a_file_that_is_there_is_not_written_again(data: WritableDataset) -> None:
    _, file = install(data, "net")
    before = file.stat().st_ino
    again = stage(data.folder, "lab/net")
    data.install_layers(again)
    assert file.stat().st_ino == before
    assert again.staged is not None
    assert not again.staged.exists()


def test_layers_without_a_file_add_nothing(data: WritableDataset) -> None:
    data.install_layers(StagedLayers.without_file(stage(data.folder, "lab/net").rows))
    assert list(data.catalog.layer_files()) == []
    assert not (data.folder / "data").exists()


def test_only_files_in_the_folder_take_space(data: WritableDataset) -> None:
    assert data.layer_bytes() == 0
    (_, one), (_, other) = install(data, "one", 1), install(data, "other", 2)
    assert data.layer_bytes() == one.stat().st_size + other.stat().st_size
    one.unlink()
    assert data.layer_bytes() == other.stat().st_size


def test_a_file_is_had_if_it_is_here_or_in_the_last_release(data: WritableDataset) -> None:
    _, file = install(data, "net")
    ((path, _, sha256),) = data.catalog.layer_files()
    assert data.has_layers(path)
    file.unlink()
    assert not data.has_layers(path)
    data.catalog.put_released([(path, sha256)], "v1")
    assert data.has_layers(path)
    data.catalog.put_released([(path, "0" * 64)], "v1")  # other bytes under the same path
    assert not data.has_layers(path)


# Copies.


def test_a_copy_has_the_same_numbers_under_the_ids_of_the_other_checkpoint(data: WritableDataset) -> None:
    original, file = install(data, "net", seed=3)
    content = file.read_bytes()
    rows = [row.of_checkpoint("lab/twin", "lab") for row in original.rows]
    copied = data.copy_layers(model_row("twin"), rows, str(original.path))
    assert copied.staged is not None
    assert copied.staged.parent == data.folder / TEMPORARY
    (stored,) = pq.read_table(copied.staged).to_pylist()
    assert stored["weight"] == weight(3).ravel().tolist()
    assert (stored["model_id"], stored["layer_id"]) == ("lab/twin", "lab/twin#conv.weight")
    assert [row.layer_sha256 for row in copied.rows] == [row.layer_sha256 for row in original.rows]
    assert copied.path is not None
    assert Path(copied.path).name.startswith("twin-")
    assert file.read_bytes() == content
    assert [path for path, _, _ in data.catalog.layer_files()] == [original.path]  # until it is installed


def test_a_file_that_is_elsewhere_is_fetched_for_its_copy(data: WritableDataset) -> None:
    original, file = install(data, "net")
    repository = Repository(data.folder)
    repository.take(str(original.path))
    rows = [row.of_checkpoint("lab/twin", "lab") for row in original.rows]
    with pytest.raises(DatasetError, match="cannot be read"):
        data.copy_layers(model_row("twin"), rows, str(original.path))
    copied = replace(data, layer_store=repository).copy_layers(model_row("twin"), rows, str(original.path))
    assert copied.sha256 is not None
    assert file.is_file()


def test_a_copy_of_layers_that_the_file_does_not_hold_leaves_nothing_behind(data: WritableDataset) -> None:
    held, _ = install(data, "net", seed=1)
    others = stage(data.folder, "lab/others", seed=2)
    assert others.staged is not None
    others.staged.unlink()
    with pytest.raises(DatasetError, match="does not hold the layer"):
        data.copy_layers(model_row("others"), others.rows, str(held.path))
    assert list((data.folder / TEMPORARY).iterdir()) == []
