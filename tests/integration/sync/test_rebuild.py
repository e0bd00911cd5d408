"""A catalog that was rebuilt from the published tables knows what the one that wrote them knew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from conftest import NOW, Sync
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.model_row import ModelRow
from support.zoo_files import models, published, put, state


def rows(dataset: Path) -> dict[str, ModelRow]:
    with Catalog(dataset) as catalog:
        return {row.model_id: row for row in catalog.models()}


@pytest.fixture
def mixed(zoo: Path, run_sync: Sync) -> Path:
    """A zoo with a twin, shards, a failure, something without kernels and something renamed."""
    put(zoo / "a.safetensors", state(1))
    put(zoo / "old.safetensors", state(2))
    put(zoo / "twin.safetensors", state(1))
    put(zoo / "plain.safetensors", {"head.weight": state(1)["head.weight"]})
    put(zoo / "set/model-1-of-1.safetensors", {"a.weight": state(3)["stem.weight"]})
    index = {"weight_map": {"a.weight": "model-1-of-1.safetensors"}}
    (zoo / "set/model.safetensors.index.json").write_text(json.dumps(index))
    (zoo / "broken.safetensors").write_bytes(b"no checkpoint")
    run_sync()
    (zoo / "old.safetensors").rename(zoo / "new.safetensors")
    run_sync()
    return zoo


def test_nothing_is_lost(mixed: Path, dataset: Path, run_sync: Sync) -> None:
    before, tables = rows(dataset), published(dataset)
    assert before["local/old.safetensors"].state.offered_as == "new.safetensors"
    shutil.rmtree(dataset / ".filtercrawl")
    report = run_sync(now=NOW)
    counts = report.to_dict()["checkpoints"]
    assert (counts["unchanged"], counts["waiting"], report.bytes_fetched) == (5, 1, 0)
    after = rows(dataset)
    assert after.keys() == before.keys()
    for model_id, row in before.items():
        # A path of this machine is not published, nor is it needed.
        assert replace(after[model_id], state=replace(after[model_id].state, url=row.state.url)) == row, model_id
    assert published(dataset) == tables


def test_known_content_is_linked_and_not_read(mixed: Path, dataset: Path, run_sync: Sync) -> None:
    shutil.rmtree(dataset / ".filtercrawl")
    shutil.copy(mixed / "a.safetensors", mixed / "third.safetensors")
    report = run_sync(now=NOW + timedelta(hours=1))
    assert report.to_dict()["checkpoints"]["duplicate"] == 1
    assert models(dataset)["local/third.safetensors"]["bytes_fetched"] == 0


def test_a_damaged_record_of_earlier_runs_is_forgotten(
    mixed: Path, dataset: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    tables = published(dataset)
    shutil.rmtree(dataset / ".filtercrawl")
    (dataset / "data/runs.parquet").write_bytes(b"PAR1 cut")
    assert run_sync(now=NOW).checkpoints["unchanged"] == 5
    assert "what earlier runs did and cost is forgotten" in caplog.text
    assert published(dataset) == tables
