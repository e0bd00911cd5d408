"""A folder as a place to publish to."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Sync
from filtercrawl.api.errors import ConflictError, DatasetError, NotFoundError, PolicyError, UsageError
from filtercrawl.dataset.files.manifest import ABOUT_RUNS
from filtercrawl.dataset.files.parquet import File
from filtercrawl.transport import network
from filtercrawl_publish.repository.base import CommitOperations, Repository
from filtercrawl_publish.repository.open import open_repository
from support.zoo_files import published, put, state


def opened(text: str | Path) -> Repository:
    return open_repository(str(text), network())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for name, text in {
        "README.md": "card",
        "manifest.json": "{}",
        "data/a.parquet": "a",
        "data/b.parquet": "b",
    }.items():
        found[name] = tmp_path / "made" / name
        found[name].parent.mkdir(parents=True, exist_ok=True)
        found[name].write_text(text)
    return found


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_commit_that_nobody_saw_is_removed_by_the_next_one(
    tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, versions = tmp_path / "kernels", tmp_path / ".kernels.versions"
    first = opened(place).commit(CommitOperations(add=files), None, "one", "")

    def killed(*_: object) -> None:
        raise Killed

    files["data/a.parquet"].write_text("of a run that is killed")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "symlink_to", killed)  # as the new version gets visible
        with pytest.raises(Killed):
            opened(place).commit(CommitOperations(add=files), first, "two", "")
    assert len(list(versions.glob("*.json"))) == 2
    files["data/a.parquet"].write_text("of the next")
    second = opened(place).commit(CommitOperations(add=files), first, "two", "")
    assert {path.name for path in versions.iterdir()} - {"lock", ".filtercrawl"} == {
        name for commit in (first, second) for name in (commit, f"{commit}.json")
    }


def test_versions_follow_each_other_and_all_stay(tmp_path: Path, files: dict[str, Path]) -> None:
    place = tmp_path / "out/kernels"
    place.parent.mkdir()
    here = opened(place)
    assert (here.head(), here.tags()) == (None, {})
    first = here.commit(CommitOperations(add=files), None, "one", "")
    here.tag("v1", first, "the first")
    assert place.is_dir()
    assert published(place) == published(tmp_path / "made")
    files["data/a.parquet"].write_text("other")
    changes = CommitOperations(add={"data/a.parquet": files["data/a.parquet"]}, delete=("data/b.parquet",))
    second = here.commit(changes, first, "two", "")
    here.tag("v2", second, "the second")
    assert here.head() == second != first
    assert here.tags() == {"v1": first, "v2": second}
    assert set(here.files("v2")) == set(here.files("v1")) - {"data/b.parquet"}
    assert (here.read("data/a.parquet", "v1"), here.read("data/a.parquet", second)) == (b"a", b"other")
    assert (place / "data/a.parquet").read_text() == "other"
    old = opened(f"{place}@v1")
    assert (Path(old.url) / "data/b.parquet").read_text() == "b"
    assert old.resolve() == old.resolve(first[:10]) == first
    # What did not change is there once.
    assert (Path(old.url) / "README.md").samefile(place / "README.md")
    back = here.commit(CommitOperations(copy={"data/b.parquet": ("data/b.parquet", "v1")}), second, "three", "")
    assert here.read("data/b.parquet", back) == b"b"
    here.fetch(["data/b.parquet", "README.md"], "v1", tmp_path / "fetched")
    assert (tmp_path / "fetched/data/b.parquet").read_text() == "b"


def test_refusals(tmp_path: Path, files: dict[str, Path]) -> None:
    here = opened(tmp_path / "out")
    first = here.commit(CommitOperations(add=files), None, "one", "")
    second = here.commit(CommitOperations(delete=("data/b.parquet",)), first, "two", "")
    with pytest.raises(ConflictError, match="another version was published meanwhile"):
        here.commit(CommitOperations(delete=("data/a.parquet",)), first, "late", "")
    here.tag("v1", first, "")
    here.tag("v1", first, "")
    with pytest.raises(ConflictError, match="tags never move"):
        here.tag("v1", second, "")
    with pytest.raises(NotFoundError):
        here.read("data/c.parquet", second)
    with pytest.raises(UsageError, match="available: v1"):
        here.resolve("v2")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("precious")
    with pytest.raises(PolicyError, match="publish to a new folder"):
        opened(tmp_path / "mine").commit(CommitOperations(add=files), None, "one", "")
    assert (tmp_path / "mine/notes.txt").read_text() == "precious"


def test_a_plain_dataset_folder_reads_the_same(zoo: Path, run_sync: Sync, dataset: Path) -> None:
    put(zoo / "net.safetensors", state())
    run_sync()
    here = opened(dataset)
    head = here.head()
    assert head is not None
    found = {path: entry.sha256 for path, entry in here.files(head).items() if path not in ABOUT_RUNS}
    assert found == published(dataset)
    assert here.read("manifest.json", head) == (dataset / "manifest.json").read_bytes()
    assert here.url == str(dataset)


def test_what_is_fetched_is_whole_or_not_there(tmp_path: Path, files: dict[str, Path]) -> None:
    """Half of a file may lie there: a fetch before this one was killed."""
    here, path, target = opened(tmp_path / "out"), "data/a.parquet", tmp_path / "in"
    head = here.commit(CommitOperations(add=files), None, "one", "")
    (target / "data").mkdir(parents=True)
    (target / path).write_bytes(b"")
    here.fetch([path], head, target)
    assert (target / path).read_bytes() == b"a"
    with pytest.raises(NotFoundError, match=r"no file 'data/x\.parquet'"):
        here.fetch(["data/x.parquet"], head, target)
    stored = tmp_path / ".out.versions" / head / path
    stored.chmod(0o644)
    stored.write_bytes(b"b")
    (target / path).unlink()
    with pytest.raises(DatasetError, match=r"data/a\.parquet is damaged"):
        here.fetch([path], head, target)
    assert not (target / path).exists()


def test_what_was_uploaded_ahead_is_committed_by_its_hash(tmp_path: Path, files: dict[str, Path]) -> None:
    """Also by another process, and where the file is gone."""
    path = "data/a.parquet"
    sent = File(path=path, size=1, sha256=hashlib.sha256(b"a").hexdigest())
    other = File(path="data/x.parquet", size=1, sha256="0" * 64)
    assert opened(tmp_path / "out").uploaded([sent]) == frozenset()
    assert opened(tmp_path / "out").upload({path: files[path]}) == {path}
    files.pop(path).unlink()
    here = opened(tmp_path / "out")
    assert here.uploaded([sent, other, replace(sent, size=2)]) == {path}
    with pytest.raises(NotFoundError, match=r"data/x\.parquet: the uploaded content is gone"):
        here.commit(CommitOperations(add=files, uploaded={path: sent, other.path: other}), None, "one", "")
    assert here.head() is None
    head = here.commit(CommitOperations(add=files, uploaded={path: sent}), None, "one", "")
    assert here.read(path, head) == b"a"
    assert here.files(head)[path].sha256 == sent.sha256


@pytest.mark.parametrize("text", ["org", "org/name/more", "org/..", "o r/g", "org/name.git", "", "@v1"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError, match="is not a repository"):
        opened(text)
