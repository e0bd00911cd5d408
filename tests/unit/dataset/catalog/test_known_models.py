"""Queries of the catalog for known checkpoints, beside the same asked of all rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from filtercrawl.config.license_policy import METADATA, Policy
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.content_owners import ContentOwners
from filtercrawl.dataset.catalog.known_models import batches
from filtercrawl.dataset.schema.crawl_state import CrawlState
from support.stored_checkpoints import model_row

HASH = "a" * 64
STATE = CrawlState(prefix="", url="file:///zoo/a", files=(("a", "e1"), ("b", None)))
ROWS = [
    model_row("a", file_sha256=HASH, state=STATE, license="MIT", layers_file="data/layers/lab/00/a.parquet"),
    model_row("b", file_sha256=HASH, state=CrawlState(prefix=""), license="GPL-3.0", run_id="run", step=1),
    model_row("c", file_sha256=HASH, state=CrawlState(prefix="ema."), license="GPL-3.0", license_policy=METADATA),
    model_row("d", file_sha256=HASH, state=CrawlState(prefix=""), outcome="failed", reason="truncated"),
    model_row(
        "e", file_sha256=HASH, state=CrawlState(), license="MIT", outcome="skipped", run_id="run", step=2, n_layers=None
    ),
    model_row("f", state=CrawlState(offered_as="new"), n_layers=None, tensors_emitted=None),
]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path) as opened:
        for row in ROWS:
            opened.put_model(row)
        yield opened


def test_rows_by_id(catalog: Catalog) -> None:
    asked = [*(row.model_id for row in ROWS[:3]), *(f"lab/none{i}" for i in range(1200))]
    assert sorted(catalog.models_by_id(asked), key=lambda row: row.model_id) == ROWS[:3]
    known = catalog.files_by_id(asked)
    assert {name: (files.files, files.url) for name, files in known.items()} == {
        row.model_id: (row.state.files, row.state.url) for row in ROWS[:3]
    }
    assert catalog.locations_by_id(asked) == {row.model_id: row.state.url for row in ROWS[:3]}
    assert catalog.has_location("file:///zoo/a")
    assert not catalog.has_location("file:///zoo/b")


def test_rows_by_the_name_of_the_last_offer(catalog: Catalog) -> None:
    assert catalog.model_offered_as("lab", "new") == ROWS[-1]
    assert catalog.model_offered_as("lab", "f") is None
    assert catalog.model_offered_as("other", "a") is None
    assert catalog.names_of_source("lab") == ["a", "b", "c", "d", "e", "new"]
    assert catalog.names_of_source("other") == []


def test_rows_of_a_run(catalog: Catalog) -> None:
    assert catalog.models_of_run("lab", "run") == [ROWS[1], ROWS[4]]
    assert catalog.models_of_run("other", "run") == []


@pytest.mark.parametrize("policy", get_args(Policy))
def test_rows_beyond_a_license(catalog: Catalog, policy: Policy) -> None:
    assert set(catalog.held_licenses()) == {row.license for row in ROWS if row.outcome != "skipped"}
    for license_id in ("MIT", "GPL-3.0", None):
        expected = [row for row in ROWS if row.license == license_id and row.exceeds(policy)]
        assert catalog.models_beyond(license_id, policy) == expected


def test_files_of_layers(catalog: Catalog) -> None:
    (path,) = catalog.layers_files()
    assert list(catalog.models_with_file([path, "data/layers/none.parquet"])) == [ROWS[0]]
    assert not catalog.has_layer_file(path)
    catalog.put_layer_file(path, 1, "b" * 64)
    assert catalog.has_layer_file(path)
    assert not catalog.is_released(path)
    catalog.put_released([(path, "c" * 64)], "v1")
    assert not catalog.is_released(path)  # it has other bytes
    catalog.put_released([(path, "b" * 64)], "v1")
    assert catalog.is_released(path)


def test_who_holds_a_content(catalog: Catalog) -> None:
    key = (HASH, "", "spatial")
    with ContentOwners(catalog.path) as owners:
        assert owners(key) == "lab/a"
        assert owners(key, "lab/a") == "lab/b"  # d failed, e has no known prefix
        assert owners((HASH, "ema.", "spatial")) is None
        assert owners((HASH, "", "all")) is None
        assert owners(("", "", "spatial")) is None
        assert key in owners
        with catalog.transaction():
            catalog.update_model(replace(ROWS[0], reason="truncated"))
            assert owners(key) == "lab/a"  # what is not committed is not seen
        assert owners(key) == "lab/b"


def test_batches() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([])) == []
