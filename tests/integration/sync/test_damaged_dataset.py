"""A damaged catalog or table is named with the command that repairs it, and that command does."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Sync
from filtercrawl.api.errors import DatasetError
from filtercrawl.python_api.status import status
from filtercrawl_publish.verification import verify_folder
from support.zoo_files import models, published, put, state

GARBAGE = b"no such file"


@pytest.fixture
def tables(zoo: Path, dataset: Path, run_sync: Sync) -> dict[str, str]:
    """Digests of the files of a sound dataset."""
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(1))
    run_sync()
    return published(dataset)


@pytest.mark.parametrize("damage", ["header", "pages"])
def test_a_damaged_catalog_is_rebuilt(damage: str, tables: dict[str, str], dataset: Path, run_sync: Sync) -> None:
    path = dataset / ".filtercrawl/catalog.sqlite"
    content = path.read_bytes()
    path.write_bytes(GARBAGE if damage == "header" else content[:4096] + b"\xff" * (len(content) - 4096))
    for command in (run_sync, lambda: status(dataset)):
        with pytest.raises(DatasetError, match=r"catalog\.sqlite: .*; `filtercrawl sync SELECTOR --rebuild --dataset "):
            command()
    assert run_sync(rebuild=True).checkpoints["unchanged"] == 2
    assert published(dataset) == tables
    assert not list((dataset / ".filtercrawl/tmp").iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "data/index/part.parquet",
        "data/models/part.parquet",
        "data/files/part.parquet",
        "data/files/other.parquet",
        "manifest.json",
    ],
)
def test_a_damaged_table_is_written_again_by_the_next_run(
    name: str, tables: dict[str, str], dataset: Path, run_sync: Sync
) -> None:
    (dataset / name).write_bytes(GARBAGE)
    with pytest.raises(DatasetError, match="run `filtercrawl sync` without --rebuild, which writes it again"):
        run_sync(rebuild=True)
    assert status(dataset).checkpoints == 2  # the catalog is still there
    assert run_sync().checkpoints["unchanged"] == 2
    assert published(dataset) == tables
    assert list(verify_folder(dataset)) == []


def test_a_lost_table_is_written_again(tables: dict[str, str], dataset: Path, run_sync: Sync) -> None:
    (dataset / "data/models/part.parquet").unlink()
    run_sync()
    assert published(dataset) == tables
    assert len(models(dataset)) == 2


@pytest.mark.usefixtures("tables")
def test_without_a_catalog_a_damaged_table_cannot_be_repaired(dataset: Path, run_sync: Sync) -> None:
    (dataset / ".filtercrawl/catalog.sqlite").unlink()
    (dataset / "data/models/part.parquet").write_bytes(GARBAGE)
    with pytest.raises(DatasetError, match="there is no catalog to write it from: start in an empty folder"):
        run_sync()
