"""Layers files on their way into an object store, on the file system of fsspec that is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import fsspec
import pytest

from filtercrawl.api.errors import NetworkError
from filtercrawl.dataset.object_store.layer_uploads import STAGED, UploadingLayerStore
from filtercrawl.dataset.object_store.objects import ObjectStore

PATH = "data/layers/a/b.parquet"


class DisturbedStore(ObjectStore):
    """A store in which something happens just before a file is read for its upload."""

    def __init__(self, url: str, *, replaced: bool) -> None:
        super().__init__(url)
        self._replaced = replaced

    def upload(self, files: Mapping[str, Path]) -> None:
        if not self._replaced:
            raise NetworkError("the line is down")
        for file in files.values():
            file.unlink()
        super().upload(files)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_bytes(b"rows")
    fsspec.filesystem("memory").store.clear()
    return tmp_path


def test_a_file_is_uploaded_deleted_here_and_fetched_until_the_next_flush(folder: Path) -> None:
    store = ObjectStore("memory://bucket/name")
    layers = UploadingLayerStore(store, folder)
    layers.added(PATH)
    layers.flush()
    assert store.read(PATH) == b"rows"
    assert not (folder / PATH).exists()
    assert (layers.take_uploaded(), layers.take_uploaded()) == ({PATH}, set())
    layers.fetch(PATH)
    assert (folder / PATH).read_bytes() == b"rows"
    layers.flush()
    assert not (folder / PATH).exists()
    layers.close()


def test_a_file_whose_checkpoint_is_replaced_while_it_is_uploaded_is_no_error(folder: Path) -> None:
    layers = UploadingLayerStore(DisturbedStore("memory://bucket/name", replaced=True), folder)
    layers.added(PATH)
    layers.flush()
    assert layers.take_uploaded() == {PATH}  # whatever came of it
    layers.close()


def test_a_file_that_is_not_uploaded_stays(folder: Path) -> None:
    layers = UploadingLayerStore(DisturbedStore("memory://bucket/name", replaced=False), folder)
    layers.added(PATH)
    with pytest.raises(NetworkError, match="the line is down"):
        layers.flush()
    assert (folder / PATH).is_file()
    layers.close()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(f"memory://{tmp_path.name}/kernels")


def test_an_uploaded_file_is_moved_to_its_place(store: ObjectStore, tmp_path: Path) -> None:
    store.write(f"{STAGED}/attempt.parquet", b"layers")
    layers = UploadingLayerStore(store, tmp_path)
    layers.take(f"{STAGED}/attempt.parquet", PATH)
    layers.flush()
    assert (store.read(PATH), store.list(STAGED)) == (b"layers", [])
    assert layers.take_uploaded() == {PATH}
    layers.fetch(PATH)
    assert (tmp_path / PATH).read_bytes() == b"layers"
    layers.close()


def test_what_no_run_kept_is_deleted(store: ObjectStore, tmp_path: Path) -> None:
    store.write(PATH, b"kept")
    store.write(f"{STAGED}/lost.parquet", b"layers")
    layers = UploadingLayerStore(store, tmp_path)
    layers.delete_staged()
    assert store.list("") == [PATH]
    layers.close()
