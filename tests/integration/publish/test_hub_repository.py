"""A dataset repo as a place to publish to: the real client against a Hub on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.utils import _http

from filtercrawl.api.errors import (
    AccessDeniedError,
    ConflictError,
    DatasetError,
    NetworkError,
    NotFoundError,
    UsageError,
)
from filtercrawl.dataset.files.manifest import file_entry
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from filtercrawl_publish.repository import hub as hub_repository
from filtercrawl_publish.repository.base import CommitOperations, Repository, RepositoryFile
from filtercrawl_publish.repository.digests import git_oid
from filtercrawl_publish.repository.open import open_repository
from support.hub.server import Asked, Fault, HubServer, blob_id, sha256

CARD = "---\nlicense: mit\n---\ntext"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer(page_size=3) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        # The Hub's client waits a second before it tries again.
        monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None))
        monkeypatch.setattr(hub_repository, "_DOWNLOADS", RetryPolicy.with_delays(0.01, 0.01))
        yield server


def opened(text: str = "org/kernels") -> Repository:
    return open_repository(text, network(options=TransportOptions(retry=RetryPolicy(base_delay=0.01))))


@pytest.fixture
def add(tmp_path: Path) -> dict[str, Path]:
    """Files to publish: three large ones and two small ones, in folders."""
    found = {}
    texts = {
        "README.md": CARD,
        "manifest.json": "{}",
        "data/a.parquet": "a",
        "data/b/b.parquet": "b",
        "data/c.parquet": "c",
    }
    for name, text in texts.items():
        found[name] = tmp_path / name.replace("/", "-")
        found[name].write_text(text)
    return found


def content(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    commit = hub.datasets["org/kernels"].at(revision)
    assert commit is not None
    return {path: data for path, data in commit.files.items() if path != ".gitattributes"}


def test_versions_follow_each_other(hub: HubServer, add: dict[str, Path], tmp_path: Path) -> None:
    repo = opened()
    assert (repo.head(), repo.tags()) == (None, {})
    first = repo.commit(CommitOperations(add=add), None, "one", "why")
    assert content(hub) == {path: file.read_bytes() for path, file in add.items()}
    repo.tag("v1", first, "the first")
    assert (repo.head(), repo.tags()) == (first, {"v1": first})
    found = dict(repo.files(first))
    del found[".gitattributes"]
    assert {path: entry.size for path, entry in found.items()} == {path: f.stat().st_size for path, f in add.items()}
    assert all(entry.is_file(add[path]) for path, entry in found.items())
    assert found["data/a.parquet"].sha256 == sha256(b"a")
    assert (found["README.md"].sha256, found["README.md"].oid) == (None, blob_id(CARD.encode()))
    changes = {"data/b/b.parquet": add["data/a.parquet"]}
    copies = {"data/d.parquet": ("data/c.parquet", first)}
    second = repo.commit(CommitOperations(add=changes, delete=("data/c.parquet",), copy=copies), first, "two", "")
    assert content(hub)["data/b/b.parquet"] == b"a"
    assert content(hub)["data/d.parquet"] == b"c"
    assert "data/c.parquet" not in content(hub)
    assert repo.read("data/c.parquet", "v1") == b"c"
    repo.fetch(["data/c.parquet", "README.md"], "v1", tmp_path / "out")
    assert (tmp_path / "out/README.md").read_text() == CARD
    old = opened("org/kernels@v1")
    assert old.resolve() == old.resolve(first[:8]) == first
    assert opened().resolve() == second
    with pytest.raises(UsageError, match="available: v1"):
        repo.resolve("v9")
    with pytest.raises(NotFoundError):
        repo.read("data/c.parquet", second)


def test_a_stale_parent_and_a_taken_tag_are_refused(hub: HubServer, add: dict[str, Path]) -> None:
    repo = opened()
    first = repo.commit(CommitOperations(add=add), None, "one", "")
    second = repo.commit(CommitOperations(delete=("data/c.parquet",)), first, "two", "")
    for parent in (first, None):
        with pytest.raises(ConflictError, match="another version was published meanwhile"):
            repo.commit(CommitOperations(delete=("data/a.parquet",)), parent, "late", "")
    repo.tag("v1", first, "")
    with pytest.raises(ConflictError, match="tags never move"):
        repo.tag("v1", second, "")
    assert hub.datasets["org/kernels"].tags == {"v1": first}
    assert repo.head() == second


@pytest.mark.parametrize("fault", [None, Fault(line="after"), Fault(status=500)], ids=["", "lost", "500"])
def test_large_files_go_ahead_and_are_committed_by_their_hash(
    hub: HubServer, add: dict[str, Path], fault: Fault | None
) -> None:
    """Also by another process, and where the files are gone."""
    repo = opened()
    assert repo.uploaded([file_entry("data/x.parquet", "x")]) == frozenset()  # no repo yet
    sent = {path: file_entry(path, add[path].read_text()) for path in repo.upload(add)}
    assert sent.keys() == {path for path in add if path.endswith(".parquet")}
    for path in sent:
        add.pop(path).unlink()
    repo = opened()
    assert repo.uploaded([*sent.values(), file_entry("data/x.parquet", "x")]) == sent.keys()
    hub.forget()
    if fault is not None:
        hub.fail("*/commit/main", fault)
    repo.commit(CommitOperations(add=add, uploaded=sent), None, "one", "")
    assert content(hub)["data/b/b.parquet"] == b"b"
    assert not [asked for asked in hub.log if asked.method == "PUT"]


def test_what_was_sent_ahead_and_lost_is_said(hub: HubServer, add: dict[str, Path]) -> None:
    repo = opened()
    sent = {path: file_entry(path, add[path].read_text()) for path in repo.upload(add)}
    hub.blobs.clear()
    assert repo.uploaded(sent.values()) == frozenset()
    with pytest.raises(
        NotFoundError,
        match=r"uploaded content may be gone: .* 400: LFS pointer pointed to a file that does not exist",
    ):
        repo.commit(CommitOperations(uploaded=sent), None, "one", "")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(status=500),
        Fault(line="before"),
        Fault(line="after"),
        Fault(cut=3, end="reset"),
    ],
    ids=["429", "500", "reset", "lost", "cut"],
)
@pytest.mark.parametrize("pattern", ["*/refs", "*/create", "*/validate-yaml", "*/preupload/*", "*/batch", "/lfs/*",
                                     "*/verify", "*/commit/*", "*/tag/*", "*/tree/*"])  # fmt: skip
def test_every_request_may_fail_once(hub: HubServer, add: dict[str, Path], pattern: str, fault: Fault) -> None:
    repo = opened()
    hub.fail(pattern, fault)
    first = repo.commit(CommitOperations(add=add), None, "one", "")
    repo.tag("v1", first, "")
    assert content(hub) == {path: file.read_bytes() for path, file in add.items()}
    assert len(hub.datasets["org/kernels"].commits) == 2
    assert repo.tags() == {"v1": first} == {"v1": repo.head()}
    assert len(repo.files(first)) == 6


def test_what_the_hub_will_never_take(hub: HubServer, add: dict[str, Path]) -> None:
    add["README.md"].write_text("---\n- a list\n---\n")
    with pytest.raises(DatasetError, match="the header is no YAML mapping"):
        opened().commit(CommitOperations(add=add), None, "one", "")
    add["README.md"].write_text(CARD)
    hub.token = "secret"
    with pytest.raises(AccessDeniedError, match=r"HTTP 403: You don't have the rights to write to this repo"):
        opened().commit(CommitOperations(add=add), None, "one", "")


def test_content_that_is_not_what_was_stated(hub: HubServer, add: dict[str, Path], tmp_path: Path) -> None:
    repo = opened()
    first = repo.commit(CommitOperations(add=add), None, "one", "")
    hub.blobs[sha256(b"a")] = b"x"
    with pytest.raises(NetworkError, match="differs from the size or digest"):
        repo.fetch(["data/a.parquet"], first, tmp_path / "out")
    assert not (tmp_path / "out/data/a.parquet").exists()


def test_an_entry_knows_its_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    for entry, same in (
        (RepositoryFile(size=3, sha256=sha256(b"abc")), True),
        (RepositoryFile(size=3, oid=git_oid(b"abc")), True),
        (RepositoryFile(size=3, oid=git_oid(b"abd")), False),
        (RepositoryFile(size=4, sha256=sha256(b"abc")), False),
    ):
        assert entry.is_file(file) is same
    assert git_oid(b"abc") == "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"  # what git hash-object says


def test_files_are_fetched_side_by_side(hub: HubServer, tmp_path: Path) -> None:
    """Each answer waits for another request to come in; one that fails ends them all, and nothing half is left."""
    add = {f"data/{number}.parquet": tmp_path / str(number) for number in range(8)}
    for path in add.values():
        path.write_text(path.name)
    head = opened().commit(CommitOperations(add=add), None, "one", "")
    two = threading.Barrier(2, timeout=10)

    def meet(number: int, asked: Asked, when: str) -> None:
        if "/resolve/" in asked.path and when == "asked" and asked.method == "GET":
            two.wait()

    hub.watch = meet
    opened().fetch(add, head, tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out/data").iterdir()} == {
        f"{number}.parquet": str(number) for number in range(8)
    }
    hub.watch = lambda number, asked, when: None
    hub.fail("*/data/3.parquet", Fault(status=403))
    with pytest.raises(AccessDeniedError, match=r"data/3\.parquet"):
        opened().fetch(add, head, tmp_path / "again")
    assert not (tmp_path / "again/data/3.parquet").exists()
