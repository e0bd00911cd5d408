"""Where layers files are stored."""

from __future__ import annotations

from pathlib import Path

from filtercrawl.dataset.files.layer_store import LayerStore, LocalLayerStore


def test_a_local_store_has_what_is_in_the_folder(tmp_path: Path) -> None:
    store: LayerStore = LocalLayerStore(tmp_path)
    assert (store.contains("data/layers/a/1.parquet"), store.free_space()) == (False, 0)
    for name, size in {"a/1": 10, "b/2": 32}.items():
        file = tmp_path / f"data/layers/{name}.parquet"
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(size))
    assert store.contains("data/layers/a/1.parquet")
    store.fetch("data/layers/c/3.parquet")  # there is no other place
    assert not store.contains("data/layers/c/3.parquet")
    assert store.free_space() == 42
