"""Digests of files: those of the standard tools."""

from __future__ import annotations

from pathlib import Path

from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.repository.base import RepositoryFile
from filtercrawl_publish.repository.digests import file_info, git_oid

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
EMPTY_OID = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").touch()
    assert file_info(tmp_path, "data/a") == File(path="data/a", size=0, sha256=EMPTY_SHA256)
    assert git_oid(b"") == EMPTY_OID


def test_what_a_repository_states_is_compared_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    assert RepositoryFile(size=0, sha256=EMPTY_SHA256).is_file(path)
    assert RepositoryFile(size=0, oid=EMPTY_OID).is_file(path)
    assert not RepositoryFile(size=0, oid="0" * 40).is_file(path)
    assert not RepositoryFile(size=0, sha256="0" * 64, oid=EMPTY_OID).is_file(path)
    assert not RepositoryFile(size=1, sha256=EMPTY_SHA256).is_file(path)
    assert RepositoryFile(size=0, sha256="0" * 64).is_file(path, "0" * 64)
