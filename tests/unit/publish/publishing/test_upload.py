"""What a version adds and deletes, and the batches it is uploaded in."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.publishing.upload import FileChanges, batches, compare_files
from filtercrawl_publish.repository.base import RepositoryFile
from filtercrawl_publish.repository.digests import git_oid


def file(path: str, size: int = 1, sha256: str = "a" * 64) -> File:
    return File(path=path, size=size, sha256=sha256)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([5], [[5]]),
        ([50], [[50]]),
        ([4, 4, 4], [[4, 4], [4]]),
        ([50, 1, 1], [[50], [1, 1]]),
        ([1, 50, 1], [[1], [50], [1]]),
        ([0, 0, 0, 0], [[0, 0, 0], [0]]),
    ],
)
def test_batches(sizes: list[int], expected: list[list[int]]) -> None:
    files = [file(str(number), size) for number, size in enumerate(sizes)]
    result = list(batches(files, max_files=3, max_bytes=10))
    assert [[item.size for item in batch] for batch in result] == expected
    assert [item for batch in result for item in batch] == files


def test_compare_files(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"card")
    files = {
        item.path: item
        for item in (
            file("data/same"),
            file("data/new"),
            file("data/other", 2),
            file("README.md", 4),
            file("data/hash"),
        )
    }
    staged = StagedVersion(folder=tmp_path, files=files, counts={}, root="")
    published = {
        "data/same": RepositoryFile(size=1, sha256="a" * 64),
        "data/other": RepositoryFile(size=1, sha256="a" * 64),
        "data/hash": RepositoryFile(size=1, sha256="b" * 64),
        "README.md": RepositoryFile(size=4, oid=git_oid(b"card")),
        "data/gone": RepositoryFile(size=1),
        "analysis/gone": RepositoryFile(size=1),
        "manifest.json.sig": RepositoryFile(size=1),
        "LICENSE": RepositoryFile(size=1),
        "database": RepositoryFile(size=1),
        "figures/kernels.png": RepositoryFile(size=1),
        "figures/of-the-owner.png": RepositoryFile(size=1),
    }
    changes = compare_files(staged, published)
    assert set(changes.add) == {"data/new", "data/other", "data/hash"}
    assert changes.delete == ("analysis/gone", "data/gone", "figures/kernels.png", "manifest.json.sig")
    assert (changes.same, changes.bytes) == (2, 4)
    operations = changes.operations(tmp_path, {"data/new": files["data/new"]})
    assert set(operations.add) == {"data/other", "data/hash"}
    assert set(operations.uploaded) == {"data/new"}
    assert not FileChanges(add={}, delete=(), same=3)
