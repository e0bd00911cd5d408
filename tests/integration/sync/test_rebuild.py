"""A catalog that was rebuilt from the published tables knows what the one that wrote them knew."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import NOW, Sync
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.crawl_state import pack_state, unpack_state
from support.zoo_files import models, published, put, state


def rows(dataset: Path) -> dict[str, dict[str, Any]]:
    with Catalog(dataset) as catalog:
        return {row["model_id"]: row for row in catalog.models(private=True)}


@pytest.fixture
def mixed(zoo: Path, run_sync: Sync) -> Path:
    """A zoo with a twin, shards, a failure, something without kernels and something renamed."""
    put(zoo / "a.safetensors", state(1))
    put(zoo / "old.safetensors", state(2))
    put(zoo / "twin.safetensors", state(1))
    put(zoo / "plain.safetensors", {"head.weight": state(1)["head.weight"]})
    put(zoo / "set/model-1.safetensors", {"a.weight": state(3)["stem.weight"]})
    index = {"weight_map": {"a.weight": "model-1.safetensors"}}
    (zoo / "set/model.safetensors.index.json").write_text(json.dumps(index))
    (zoo / "broken.safetensors").write_bytes(b"no checkpoint")
    run_sync()
    (zoo / "old.safetensors").rename(zoo / "new.safetensors")
    run_sync()
    return zoo


def test_nothing_is_lost(mixed: Path, dataset: Path, run_sync: Sync) -> None:
    before, tables = rows(dataset), published(dataset)
    assert before["local/old.safetensors"]["_offered_as"] == "new.safetensors"
    shutil.rmtree(dataset / ".filtercrawl")
    report = run_sync(now=NOW)
    counts = report.as_json()["checkpoints"]
    assert (counts["unchanged"], counts["waiting"], report.bytes_fetched) == (5, 1, 0)
    after = rows(dataset)
    assert after.keys() == before.keys()
    for model_id, row in before.items():
        # A path of this machine is not published, nor is it needed.
        known = {name: value for name, value in row.items() if name.startswith("_") and name != "_url"}
        assert {name: after[model_id].get(name) for name in known} == known, model_id
    assert published(dataset) == tables


def test_known_content_is_linked_and_not_read(mixed: Path, dataset: Path, run_sync: Sync) -> None:
    shutil.rmtree(dataset / ".filtercrawl")
    shutil.copy(mixed / "a.safetensors", mixed / "third.safetensors")
    report = run_sync(now=NOW + timedelta(hours=1))
    assert report.as_json()["checkpoints"]["duplicate"] == 1
    assert models(dataset)["local/third.safetensors"]["bytes_fetched"] == 0


_text = st.none() | st.text()


@given(revision=_text, etag=_text, tried=st.tuples(_text, _text), prefix=st.text(), version=_text, name=_text)
def test_state_comes_back(
    revision: str | None,
    etag: str | None,
    tried: tuple[str | None, str | None],
    prefix: str,
    version: str | None,
    name: str | None,
) -> None:
    public = {"model_id": "s/m", "revision": revision, "etag": etag, "url": "https://host/m"}
    private = {
        "_tried": {"revision": tried[0], "etag": tried[1]}, "_files": [["m", etag]], "_prefix": prefix,
        "_version": version, "_offered_as": name,
    }  # fmt: skip
    back = unpack_state({**public, "state": pack_state({**public, **private, "_url": "file:///home/me/m"})})
    assert {key: back.get(key) for key in private} == private
    assert back["_url"] == "https://host/m"
    assert "home" not in (pack_state({**public, **private, "_url": "file:///home/me/m"}) or "") or "home" in str(
        private
    )


def test_rows_of_before_there_was_such_a_column() -> None:
    assert unpack_state({"model_id": "s/m", "revision": None}) == {"model_id": "s/m", "revision": None}
    assert pack_state({"model_id": "s/m", "revision": None, "etag": None}) is None
    with pytest.raises(ValueError, match="no JSON object"):
        unpack_state({"model_id": "s/m", "state": "[]"})
