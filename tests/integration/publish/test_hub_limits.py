"""What is refused, and what is said, before anything is sent."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import Sync
from filtercrawl.api.errors import DatasetError, PolicyError
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.hub_limits import LIMITS, Limits, check_hub_limits
from filtercrawl_publish.publishing.staging import StagedVersion, list_files
from filtercrawl_publish.publishing.upload import FileChanges, compare_files
from support.zoo_files import put, state


@pytest.fixture
def staged(run_sync: Sync, dataset: Path, zoo: Path) -> StagedVersion:
    for seed in (1, 2, 3):
        put(zoo / f"net{seed}.safetensors", state(seed))
    run_sync()
    return list_files(dataset)


def everything(staged: StagedVersion) -> FileChanges:
    return compare_files(staged, {})


def test_an_ordinary_dataset_passes(staged: StagedVersion) -> None:
    assert check_hub_limits(staged, everything(staged)) == []


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("repo_files", "files, a repository may have 0"),
        ("folder_entries", "entries in data, a folder may have 0"),
        ("commit_files", "new files, a commit may have 0"),
        ("file", r"data/index/part.parquet has [\d,]+ bytes, it may have 0"),
        ("regular", "bytes in small files, a commit may have 0"),
        ("card", r"README.md has [\d,]+ bytes, it may have 0"),
        ("row_group", "has a row group of"),
    ],
)
def test_each_limit_is_named(staged: StagedVersion, limit: str, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as refused:
        check_hub_limits(staged, everything(staged), limits=replace(LIMITS, **{limit: 0}))
    assert refused.value.exit_code == 4


def test_every_limit_is_tried() -> None:
    tried = {"repo_files", "folder_entries", "commit_files", "file", "regular", "card", "row_group", "max_small_files"}
    assert {field.name for field in fields(Limits)} == tried


def test_many_files_are_a_warning_that_knows_a_way(staged: StagedVersion) -> None:
    warnings = check_hub_limits(staged, everything(staged), limits=replace(LIMITS, max_small_files=2))
    assert [warning.split(" has ")[0] for warning in warnings] == ["the config layers", "the config layers-local"]
    assert all("`index`" in warning and "`filtercrawl.load`" in warning for warning in warnings)


def test_the_files_of_others_count(staged: StagedVersion) -> None:
    with pytest.raises(PolicyError, match="100,001 files"):
        check_hub_limits(staged, everything(staged), other_files=100_001 - len(staged.files))


def test_tables_that_no_reader_takes(staged: StagedVersion) -> None:
    path = staged.folder / "data/extra.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    file = File(path="data/extra.parquet", size=path.stat().st_size, sha256="0" * 64)
    changes = FileChanges(add={file.path: file}, delete=(), same=0)
    with pytest.raises(PolicyError, match=r"data/extra\.parquet has no rows"):
        check_hub_limits(staged, changes)
    path.write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="not a Parquet file"):
        check_hub_limits(staged, changes)
