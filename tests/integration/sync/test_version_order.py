"""Versions are ordered as people count: the tenth of a day comes after the second, wherever their order matters."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from conftest import Sync
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.table_files import Part, table_path
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.version_order import release_order
from support.zoo_files import models, put, state

VERSIONS = [
    "v1.2", "v1.10", "v2026.9.1", "v2026.11.23", "v2026.11.23.1", "v2026.11.23.2", "v2026.11.23.10", "v2026.11.24",
    None,
]  # fmt: skip


def test_versions_are_ordered_by_their_numbers() -> None:
    mixed = list(VERSIONS)
    random.Random(0).shuffle(mixed)
    assert sorted(mixed, key=release_order) == VERSIONS


def model_row(catalog: Catalog, model_id: str) -> ModelRow:
    row = catalog.model(model_id)
    assert row is not None
    return row


def test_the_tenth_version_of_a_day_is_behind_the_second(run_sync: Sync, dataset: Path, zoo: Path) -> None:
    """The first version has the parts without a name, though the name of the tenth is smaller as text."""
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    run_sync()
    first, second = "local/a.safetensors", "local/b.safetensors"
    with Catalog(dataset) as catalog, catalog.transaction():
        for model_id, version in ((first, "v2026.11.23.10"), (second, "v2026.11.23.2")):
            catalog.update_model(replace(model_row(catalog, model_id), first_release=version))
    put(zoo / "c.safetensors", state(3))
    run_sync()
    owners = {"": second, "v2026.11.23.10": first, "unreleased": "local/c.safetensors"}
    for name in ("models", "index", "ledger", "samples", "preview"):
        for generation, model_id in owners.items():
            found = pq.read_table(dataset / table_path(name, Part(generation=generation)))["model_id"]
            assert set(found.to_pylist()) == {model_id}, name


def test_the_earlier_version_keeps_the_weights(run_sync: Sync, dataset: Path, zoo: Path) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    run_sync()
    with Catalog(dataset) as catalog, catalog.transaction():
        for name, version in (("a", "v2026.11.23.10"), ("b", "v2026.11.23.2")):
            known = model_row(catalog, f"local/{name}.safetensors")
            catalog.update_model(replace(known, first_release=version))
    ranked = sorted(models(dataset), key=lambda model_id: model_id)
    with Catalog(dataset) as catalog:
        rows = [model_row(catalog, model_id) for model_id in ranked]
    assert [row.name for row in sorted(rows, key=lambda row: row.ownership_key)] == ["b.safetensors", "a.safetensors"]
    put(zoo / "b.safetensors", state(1))  # now both are one content
    run_sync()
    assert models(dataset)["local/b.safetensors"]["outcome"] == "emitted"
    assert models(dataset)["local/a.safetensors"]["duplicate_of"] == "local/b.safetensors"
