"""Commits, leases and objects, on the file system of fsspec that is in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import ConflictError, DatasetError
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.object_store.commits import Commit, CommitLog
from filtercrawl.dataset.object_store.lease import Lease
from filtercrawl.dataset.object_store.objects import ObjectStore

SHA = "a" * 64


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    url = f"memory://bucket/{request.node.name}"
    yield ObjectStore(url)
    fsspec.filesystem("memory").store.clear()


def commit(number: int, name: str = "") -> Commit:
    file = File(path="data/index/part.parquet", size=3, sha256=SHA)
    return Commit(number=number, id=name or f"commit {number}", files={file.path: file})


def test_objects(store: ObjectStore) -> None:
    assert store.read("a/b") is None
    assert store.list("") == []
    assert store.create("a/b", b"1")
    assert not store.create("a/b", b"2")
    assert store.read("a/b") == b"1"
    store.write("a/b", b"3")
    store.copy([("a/b", "c")])
    assert store.list("") == ["a/b", "c"]
    assert store.list("a") == ["a/b"]
    store.delete(["a/b", "absent"])
    assert store.list("") == ["c"]
    assert store.read("c") == b"3"


@pytest.mark.parametrize("name", ["a[1].png", "a*", "a?.png", "a{1}.png"])
def test_a_name_that_looks_like_a_pattern_is_a_name(store: ObjectStore, name: str) -> None:
    for path in ("a1.png", "aa", name):
        store.write(path, b"")
    store.delete([name])
    assert store.list("") == ["a1.png", "aa"]
    store.delete([name, "aa"])
    assert store.list("") == ["a1.png"]


def test_the_last_commit_counts(store: ObjectStore) -> None:
    log = CommitLog(store)
    assert log.latest() is None
    assert all(log.append(commit(number)) for number in (1, 2, 3))
    log.delete_before(commit(3))
    assert log.latest() == commit(3)
    assert store.list("") == [".filtercrawl/commits/00000003.json"]


def test_of_two_writers_one_succeeds(store: ObjectStore) -> None:
    log, barrier, succeeded = CommitLog(store), threading.Barrier(8), list[str]()

    def write(name: str) -> None:
        barrier.wait()
        if log.append(commit(1, name)):
            succeeded.append(name)

    threads = [threading.Thread(target=write, args=(f"writer {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latest = log.latest()
    assert latest is not None
    assert succeeded == [latest.id]


def test_a_writer_that_slept_does_not_take_a_number_that_was_deleted(store: ObjectStore) -> None:
    log = CommitLog(store)
    log.append(commit(1))
    log.append(commit(2, "of another"))
    log.append(commit(3, "of another"))
    log.delete_before(commit(3))
    assert not log.append(commit(2, "of one that slept"))
    assert log.latest() == commit(3, "of another")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"[" * 100_000, b'{"format": 2}',
        *(
            json.dumps({"format": 1, "id": "x", "files": [[path, 1, sha256]]}).encode()
            for path, sha256 in (
                ("../x", SHA), ("/etc/passwd", SHA), (".filtercrawl/catalog.sqlite", SHA), ("", SHA), ("a", "b"),
                ("c:/x", SHA),
            )
        ),
    ],
)  # fmt: skip
def test_a_commit_of_somebody_else_is_not_believed(content: bytes) -> None:
    with pytest.raises(DatasetError, match=r"s3://bucket/1: (is damaged|was written by a newer filtercrawl)"):
        Commit.parse(1, content, "s3://bucket/1")


words = st.text("abcxyz019-_.", min_size=1).filter(lambda word: word.strip(".") and word[0] != ".")


@given(st.dictionaries(st.lists(words, min_size=1, max_size=3).map("/".join), st.integers(0, 2**60)), words)
def test_commits_are_read_as_written(sizes: dict[str, int], name: str) -> None:
    files = {path: File(path=path, size=size, sha256=SHA) for path, size in sizes.items()}
    written = Commit(number=7, id=name, files=files)
    assert Commit.parse(7, written.to_json(), "x") == written


def hold(store: ObjectStore, owner: str, **options: Any) -> Lease:
    return Lease(store, owner, lambda: None, **{"seconds": 60.0, **options})


def test_one_lease_at_a_time(store: ObjectStore) -> None:
    first = hold(store, "one")
    assert first.clean
    with pytest.raises(ConflictError, match="is at work; if it has died, run this again after"):
        hold(store, "two")
    first.check()
    first.end(clean=True)
    second = hold(store, "two")
    assert second.clean
    with pytest.raises(ConflictError, match="took over"):
        first.check()
    second.end(clean=False)
    third = hold(store, "three")
    assert not third.clean
    third.end(clean=True)
    assert store.list("") == [".filtercrawl/leases/00000003.json"]


def test_the_machine_of_a_killed_run_need_not_wait(store: ObjectStore) -> None:
    killed = hold(store, "one")
    again = hold(store, "one")
    assert not again.clean
    with pytest.raises(ConflictError):
        killed.check()
    killed.end(clean=True)  # it writes no lease that another one holds
    again.check()
    again.end(clean=True)


def test_a_lease_that_is_no_lease_is_one_of_a_killed_run(store: ObjectStore) -> None:
    damaged = (b"[" * 100_000, b'{"expires": "soon"}', b'{"expires": null, "owner": "two"}', b'{"expires": 1e400}')
    for content in (b"", b"[]", b"{", b"null", b"{}", *damaged):
        store.write(".filtercrawl/leases/00000001.json", content)
        lease = hold(store, "one")
        assert not lease.clean
        lease.end(clean=True)
        store.delete(store.list(""))
