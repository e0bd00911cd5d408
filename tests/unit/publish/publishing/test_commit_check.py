"""A commit is the version that its manifest states, or it is not one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.commit_check import CommitSnapshot, check_files
from filtercrawl_publish.repository.base import CommitOperations, RepositoryFile
from filtercrawl_publish.repository.digests import git_oid
from filtercrawl_publish.repository.folder import FolderRepository

LIST = "data/files/part.parquet"
TABLE = "data/index/part.parquet"
CONTENT = {TABLE: b"rows", "CHANGES.md": b"changes", "README.md": b"# card"}
COUNTS = {"models": 1, "layers": 2, "kernels": 3}
Files = Mapping[str, bytes]


def record(path: str, data: bytes) -> File:
    return File(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())


@pytest.fixture
def commit(tmp_path: Path) -> Callable[..., CommitSnapshot]:
    """Commit a version; `changed` files take the place of others afterwards, None where one is gone."""

    def make(counts: object = COUNTS, **changed: bytes | None) -> CommitSnapshot:
        listed = [record(path, data) for path, data in CONTENT.items() if path != "README.md"]
        folder = tmp_path / "dataset"
        (folder / LIST).parent.mkdir(parents=True)
        rows = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in listed]
        pq.write_table(pa.Table.from_pylist(rows), folder / LIST)
        files = {**CONTENT, LIST: (folder / LIST).read_bytes()}
        root = manifest.root_of([record(LIST, files[LIST])], record("README.md", files["README.md"]), listed)
        files["manifest.json"] = json.dumps({"root": root, "counts": counts}).encode()
        for path, data in (files | changed).items():
            if data is not None:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
        add = {path: folder / path for path, data in (files | changed).items() if data is not None}
        repository = FolderRepository(str(tmp_path / "out"))
        return CommitSnapshot.read(repository, repository.commit(CommitOperations(add=add), None, "title", ""))

    return make


def test_a_version_is_what_its_manifest_states(commit: Callable[..., CommitSnapshot]) -> None:
    snapshot = commit(**{"train.py": b"of its owner", "data/runs.parquet": b"runs", "analysis/run.json": b"{}"})
    check_files(snapshot)
    assert set(snapshot.listed) == {TABLE, "CHANGES.md"}
    assert [file.path for file in snapshot.list_files] == [LIST]
    assert snapshot.unlisted == [record("data/runs.parquet", b"runs")]
    assert snapshot.where == f"{snapshot.repository.id}@{snapshot.commit[:10]}"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({TABLE: b"ROWS"}, r"data/index/part\.parquet differs from data/files"),
        ({TABLE: b"more rows"}, r"data/index/part\.parquet differs from data/files"),
        ({TABLE: None}, r"data/index/part\.parquet is listed but missing"),
        ({"README.md": b"# other"}, r"manifest\.json does not match the listed files"),
        ({"data/index/part-0.parquet": b""}, r"data/index/part-0\.parquet is not listed"),
        ({"analysis/more.csv": b""}, r"analysis/more\.csv is not listed"),
        ({"croissant.json": b""}, r"croissant\.json is not listed"),
    ],
)
def test_anything_else_is_none(
    commit: Callable[..., CommitSnapshot], changed: dict[str, bytes | None], told: str
) -> None:
    snapshot = commit(**changed)
    with pytest.raises(DatasetError, match=rf"out@[0-9a-f]{{10}}: {told}"):
        check_files(snapshot)


def test_a_list_that_is_no_table_is_told(commit: Callable[..., CommitSnapshot]) -> None:
    snapshot = commit(**{LIST: b"PAR1"})
    with pytest.raises(DatasetError, match="data/files cannot be read"):
        check_files(snapshot)


@pytest.mark.parametrize("counts", [{}, {"models": 1, "layers": 2}, {**COUNTS, "kernels": "many"}, 3, None])
def test_what_counts_nothing_is_no_manifest(commit: Callable[..., CommitSnapshot], counts: object) -> None:
    with pytest.raises(DatasetError, match=r"manifest\.json: not a manifest"):
        commit(counts)


class Asked(FolderRepository):
    """Remembers what is read."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.read_paths: list[str] = []

    def read(self, path: str, revision: str) -> bytes:
        self.read_paths.append(path)
        return super().read(path, revision)


@pytest.mark.parametrize(
    ("here", "downloaded"), [(b"rows", []), (b"ROWS", [TABLE]), (None, [TABLE])], ids=["same", "other", "absent"]
)
def test_a_small_file_is_compared_by_its_id_where_it_is_here(
    commit: Callable[..., CommitSnapshot], tmp_path: Path, here: bytes | None, downloaded: list[str]
) -> None:
    snapshot = commit()
    folder, repository = tmp_path / "here", Asked(str(tmp_path / "out"))
    (folder / TABLE).parent.mkdir(parents=True)
    if here is not None:
        (folder / TABLE).write_bytes(here)
    stated = {**snapshot.files, TABLE: RepositoryFile(size=4, oid=git_oid(b"rows"))}
    check_files(replace(snapshot, repository=repository, files=stated), folder)
    assert repository.read_paths == downloaded
    wrong = {**snapshot.files, TABLE: RepositoryFile(size=4, oid=git_oid(b"wors"))}
    check_files(replace(snapshot, repository=repository, files=wrong), folder)  # what is downloaded decides
    assert repository.read_paths == [*downloaded, TABLE]
