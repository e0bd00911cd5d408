"""The catalog: all or nothing, steps only ever added, nothing of it published."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import pytest

from conftest import Sync
from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.schema_migrations import MIGRATIONS
from support.zoo_files import put, state, table

# A step that was released is never edited: catalogs out there have gone through it. Add the digest of a new step here.
STEPS = [
    "fb49fb9ec3a4790f",
    "69888f64701861a5",
    "bba6e1734725123d",
    "485a1f522c8c50d2",
    "1de7423692aac485",
    "8f55a53cd6d06019",
    "5df4e3fce409f794",
    "34cda4167d46021c",
    "50ac47fc5e758be5",
]


def test_steps_are_only_ever_added() -> None:
    assert [hashlib.sha256(step.encode()).hexdigest()[:16] for step in MIGRATIONS] == STEPS


def test_a_catalog_of_any_earlier_version_is_brought_up_to_date(dataset: Path) -> None:
    (dataset / ".filtercrawl").mkdir(parents=True)
    db = sqlite3.connect(dataset / ".filtercrawl/catalog.sqlite")
    db.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1; INSERT INTO facts VALUES ('dataset_id', 'old');")
    db.close()
    with Catalog(dataset) as catalog:
        assert catalog.dataset_id == "old"
        assert list(catalog.models()) == []


def test_a_catalog_of_a_later_version_is_refused(dataset: Path) -> None:
    Catalog(dataset).close()
    db = sqlite3.connect(dataset / ".filtercrawl/catalog.sqlite")
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(DatasetError, match="newer filtercrawl"):
        Catalog(dataset)


def test_a_transaction_is_all_or_nothing(dataset: Path) -> None:
    with Catalog(dataset) as catalog:
        with contextlib.suppress(RuntimeError), catalog.transaction():
            catalog.set_meta("dataset_id", "new")
            raise RuntimeError("half-way")
        assert catalog.dataset_id == ""
        assert not catalog.needs_export


def test_no_path_of_this_machine_is_published(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    (zoo / "bad.pt").write_bytes(b"no")
    run_sync()
    assert table(dataset, "sources")[0]["selector"] is None
    secret = str(zoo).encode()
    for path in dataset.rglob("*"):
        if path.is_file() and ".filtercrawl" not in path.parts:
            assert secret not in path.read_bytes(), path
    for name in ("models", "index", "ledger", "samples", "preview", "sources", "files"):
        assert secret not in repr(table(dataset, name)).encode(), name
