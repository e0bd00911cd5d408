"""Two Ray nodes and a dataset in an object store: the same objects as from threads of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.dataset.object_store.layer_uploads import STAGED
from support.engines import RunOn
from support.object_store import object_store_server
from support.zoo_files import put, state

pytestmark = pytest.mark.ray


def test_the_same_objects(run_on: RunOn, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    pytest.importorskip("moto", reason="the extra `test` is not installed")
    for name, seed in (("a", 1), ("b", 2), ("twin", 2), ("c", 3)):
        put(zoo / f"{name}.safetensors", state(seed))
    with object_store_server() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{store.new_bucket()}/kernels"
        objects = []
        for engine in ("threads", "ray"):
            run_on(engine, dataset=tmp_path / engine, dataset_url=url)
            objects.append(store.objects(url))
            hidden = store.objects(url, hidden=True)
            assert not [path for path in hidden if path.startswith(STAGED)]
            store.files().rm(url, recursive=True)
    assert objects[0] == objects[1]
    assert len([path for path in objects[1] if path.startswith("data/layers/")]) == 3
    by_workers = [path for method, path in store.requests if method == "PUT" and f"/{STAGED}/" in path]
    assert len(by_workers) >= 3  # past the driver, which only moves them within the store
