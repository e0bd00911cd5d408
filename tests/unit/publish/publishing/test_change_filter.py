"""Bookkeeping alone is no new version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.change_filter import content_rows, has_reader_visible_change, same_card_text
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.publishing.upload import compare_files
from filtercrawl_publish.repository.base import CommitOperations
from filtercrawl_publish.repository.folder import FolderRepository

MODEL = {"model_id": "a", "outcome": "failed", "last_seen": 1, "attempts": 2}
SOURCE = {"source": "local", "listed": 1}
Files = Mapping[str, bytes]


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., bytes]:
    """Return the bytes of a table of these rows."""

    def make(*rows: Mapping[str, Any]) -> bytes:
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), tmp_path / "table")
        return (tmp_path / "table").read_bytes()

    return make


@pytest.fixture
def is_change(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Files, Files], bool]:
    """Tell whether a version with the files `after` is news to readers of one with the files `before`."""

    def ask(before: Files, after: Files) -> bool:
        folder = tmp_path_factory.mktemp("versions")
        for name, files in (("before", before), ("after", after)):
            for path, data in files.items():
                (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / name / path).write_bytes(data)
        repository = FolderRepository(str(folder / "out"))
        add = {path: folder / "before" / path for path in before}
        head = repository.commit(CommitOperations(add=add), None, "title", "")
        files = {
            path: File(path=path, size=len(it), sha256=hashlib.sha256(it).hexdigest()) for path, it in after.items()
        }
        staged = StagedVersion(folder=folder / "after", files=files, counts={}, root="")
        return has_reader_visible_change(compare_files(staged, repository.files(head)), staged, repository, head)

    return ask


MODELS, OTHERS = "data/models/part.parquet", "data/models/part-0.parquet"


@pytest.mark.parametrize(
    ("changes", "is_news"),
    [
        ({"last_seen": 2, "attempts": 3}, False),
        ({"outcome": "emitted"}, True),
        ({"model_id": "b"}, True),
    ],
)
def test_bookkeeping_of_a_checkpoint_is_no_news(
    is_change: Callable[[Files, Files], bool], table: Callable[..., bytes], changes: dict[str, Any], is_news: bool
) -> None:
    assert is_change({MODELS: table(MODEL)}, {MODELS: table(MODEL | changes)}) is is_news


def test_when_a_source_was_listed_is_no_news_and_another_source_is(
    is_change: Callable[[Files, Files], bool], table: Callable[..., bytes]
) -> None:
    path = "data/sources.parquet"
    assert not is_change({path: table(SOURCE)}, {path: table(SOURCE | {"listed": 2})})
    assert is_change({path: table(SOURCE)}, {path: table(SOURCE | {"source": "hub"})})


def test_rows_that_move_to_another_file_are_no_news(
    is_change: Callable[[Files, Files], bool], table: Callable[..., bytes]
) -> None:
    other = MODEL | {"model_id": "b"}
    together = {MODELS: table(other, MODEL)}
    assert not is_change(together, {MODELS: table(MODEL), OTHERS: table(other)})
    assert is_change(together, {MODELS: table(MODEL)})


@pytest.mark.parametrize("path", ["data/index/part.parquet", "analysis/report.html", "subsets/a/part.parquet"])
def test_any_other_file_is_news(is_change: Callable[[Files, Files], bool], path: str) -> None:
    assert is_change({path: b"1"}, {path: b"2"})
    assert is_change({"README.md": b"", path: b"1"}, {"README.md": b""})


@pytest.mark.parametrize(
    "path", ["manifest.json", "data/files/part.parquet", "CHANGES.md", "data/runs.parquet", "analysis/run.json"]
)
def test_what_follows_from_the_rest_is_none(is_change: Callable[[Files, Files], bool], path: str) -> None:
    assert not is_change({path: b"1"}, {path: b"2"})


@pytest.mark.parametrize(("text", "is_news"), [(b"12 MB", False), (b"By hand.", True)])
def test_the_text_of_the_card_is_news_and_sizes_in_it_are_not(
    is_change: Callable[[Files, Files], bool], text: bytes, is_news: bool
) -> None:
    assert is_change({"README.md": b"9 MB"}, {"README.md": text}) is is_news


@pytest.mark.parametrize(
    ("after", "same"),
    [
        (f"digest {'b' * 64}, 12 MB, 3 models", True),
        (f"digest {'a' * 64}, 9.5 kB, 3 models", True),
        (f"digest {'a' * 64}, 12 MB, 4 models", False),
        (f"digest {'a' * 64}, 12 MB, 3 models. By hand.", False),
    ],
)
def test_card_text(after: str, same: bool) -> None:
    assert same_card_text(f"digest {'a' * 64}, 12 MB, 3 models".encode(), after.encode()) is same


def test_content_rows_leave_bookkeeping_out(tmp_path: Path) -> None:
    (tmp_path / "data/models").mkdir(parents=True)
    row = {"model_id": "a", "outcome": "failed", "last_seen": 1, "attempts": 2, "etag": "x", "url": "u"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data/models/part.parquet")
    path = "data/models/part.parquet"
    assert content_rows(tmp_path, "models", [path, "data/models/part-0.parquet"]) == [
        {"model_id": "a", "outcome": "failed"}
    ]
    pq.write_table(pa.Table.from_pylist([{"source": "local", "listed": 1}]), tmp_path / "data/sources.parquet")
    assert content_rows(tmp_path, "sources", ["data/sources.parquet"]) == [{"source": "local"}]
