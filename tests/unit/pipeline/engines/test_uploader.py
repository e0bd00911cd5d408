"""Workers put layers files into the object store, or leave them to the driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.dataset.object_store.layer_uploads import STAGED
from filtercrawl.dataset.object_store.objects import ObjectStore
from filtercrawl.dataset.tables.staged_layers import StagedLayers
from filtercrawl.pipeline.engines.ray_cluster.uploader import Uploader
from filtercrawl.pipeline.records import CrawlResult, CrawlTask


def crawled(file: Path) -> CrawlResult:
    """A result whose layers file is staged."""
    file.write_bytes(b"layers")
    layers = StagedLayers(staged=file, path="data/layers/x", size=6, sha256="00", rows=(), samples=())
    checkpoint = Checkpoint(name="net", files=())
    task = CrawlTask(checkpoint=checkpoint, source="local", model_id="local/net", selector_id="s", action="new")
    return CrawlResult(task=task, layers=layers)


def test_a_file_is_uploaded_and_deleted_here(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/kernels"
    staged, result = tmp_path / "net.parquet", crawled(tmp_path / "net.parquet")
    assert result.layers is not None
    place = f"{STAGED}/attempt.parquet"
    assert Uploader(url).uploaded(result, "attempt") == replace(
        result, layers=replace(result.layers, staged=None, uploaded=place)
    )
    assert (ObjectStore(url).read(place), staged.exists()) == (b"layers", False)


def test_a_file_that_cannot_be_uploaded_is_left_to_the_driver(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    staged, result = tmp_path / "net.parquet", crawled(tmp_path / "net.parquet")
    uploader = Uploader("nosuchstore://bucket/kernels")
    assert uploader.uploaded(result, "first") == uploader.uploaded(result, "second") == result
    assert staged.read_bytes() == b"layers"
    assert len(caplog.records) == 1  # the second file is not even tried
    assert "nosuchstore is no object store" in caplog.text
