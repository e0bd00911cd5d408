"""Publishing from Python: the public functions do what the commands do, return reports and print nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import filtercrawl_publish
from conftest import Sync
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import PolicyError, UsageError
from filtercrawl.config import resolve
from filtercrawl_publish.repository.base import CommitOperations
from filtercrawl_publish.repository.folder import FolderRepository
from support.zoo_files import put, state

pytestmark = pytest.mark.usefixtures("forked_children")


class Lines:
    """A `Progress` that keeps messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, line: str) -> None:
        self.messages.append(line)

    def start(self, total: int) -> None:
        pass

    def done(self, model_id: str, what: str) -> None:
        pass

    def step(self, done: int, total: int, what: str) -> None:
        pass


@pytest.mark.exhaustive
def test_versions_of_a_folder(
    zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    repository, progress = str(tmp_path / "published"), Lines()
    put(zoo / "a.safetensors", state(1))
    run_sync()
    planned = filtercrawl_publish.publish(dataset, repository, version="v1", dry_run=True)
    assert (planned.outcome, planned.version, planned.commit) == ("planned", "v1", None)
    first = filtercrawl_publish.publish(str(dataset), repository, version="v1", progress=progress)
    assert first.outcome == "published"
    assert first.files >= planned.files > 0  # a dry run does not write the change log
    assert str(first).startswith(f"published v1: {repository} (")
    assert any(message.startswith("checking that ") for message in progress.messages)
    assert filtercrawl_publish.publish(dataset, repository).outcome == "nothing"
    put(zoo / "b.safetensors", state(2))
    run_sync()
    second = filtercrawl_publish.publish(dataset, repository, version="v2")
    assert (second.outcome, second.version) == ("published", "v2")
    difference = filtercrawl_publish.diff(f"{repository}@v1", dataset)
    assert [row["model_id"] for row in difference.new] == ["local/b.safetensors"]
    assert "- 1 new\n  - local/b.safetensors: " in str(difference)
    assert "<table>" in difference._repr_html_()
    assert filtercrawl_publish.verify(repository, load=False).sound
    back = filtercrawl_publish.rollback(repository, "v1", new_version="v3")
    assert (back.outcome, back.version, back.restored) == ("published", "v3", "v1")
    assert filtercrawl_publish.rollback(repository, "v1").outcome == "nothing"
    withdrawn = filtercrawl_publish.withdraw(["local/a.safetensors"], "a request", dataset=dataset)
    assert (withdrawn.withdrawn, withdrawn.version) == (("local/a.safetensors",), None)
    assert "withdrawn: local/a.safetensors" in str(withdrawn)
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_withdrawal_names_who_still_has_the_weights(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for name in ("a", "b", "c"):
        put(zoo / f"{name}.safetensors", state(1))
    put(zoo / "other.safetensors", state(2))
    run_sync()
    result = filtercrawl_publish.withdraw(["local/a.safetensors"], "a request", dataset=dataset)
    assert result.promoted == ("local/b.safetensors",)
    assert result.remaining == ("local/b.safetensors", "local/c.safetensors")
    assert "the same weights are still there as local/b.safetensors, local/c.safetensors; withdraw" in str(result)
    all_of_them = ["local/b.safetensors", "local/c.safetensors"]
    assert filtercrawl_publish.withdraw(all_of_them, "a request", dataset=dataset).remaining == ()
    assert filtercrawl_publish.withdraw(["local/other.safetensors"], "a request", dataset=dataset).remaining == ()


def test_what_cannot_be_done(dataset: Path, tmp_path: Path) -> None:
    repository = str(tmp_path / "published")
    for call in (
        lambda: filtercrawl_publish.publish(dataset, f"{repository}@v1"),
        lambda: filtercrawl_publish.publish(dataset, "no/such/name"),
        lambda: filtercrawl_publish.rollback(repository, "v1"),
        lambda: filtercrawl_publish.withdraw(["a"], "a request"),
        lambda: filtercrawl_publish.withdraw(["a"], "a request", repository="org/name", dataset=dataset),
        lambda: filtercrawl_publish.withdraw(["a"], "a request", dataset=dataset, purge=True),
        lambda: filtercrawl_publish.release(repository, ["local:x"], dataset=dataset, write_plan=tmp_path / "plan"),
    ):
        with pytest.raises(UsageError):
            call()


class CancelAtFirst(Lines):
    """Cancels when the first checkpoint is done."""

    def __init__(self, token: CancellationToken) -> None:
        super().__init__()
        self.token = token

    def done(self, model_id: str, what: str) -> None:
        self.token.cancel()


def test_a_cancelled_dry_run_of_a_release_plans_nothing(zoo: Path, tmp_path: Path) -> None:
    for seed in range(3):
        put(zoo / f"{seed}.safetensors", state(seed))
    token, plan = CancellationToken(), tmp_path / "plan.json"
    report = filtercrawl_publish.release(
        str(tmp_path / "published"),
        [f"local:{zoo}"],
        settings=resolve({"dataset": tmp_path / "machine", "dry_run": True}),
        write_plan=plan,
        progress=CancelAtFirst(token),
        cancellation=token,
    )
    assert (report.outcome, report.exit_code) == ("stopped", 130)
    assert not plan.exists()


def test_a_release_finds_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for settings in (None, resolve({})):
        report = filtercrawl_publish.release(
            str(tmp_path / "published"), [f"local:{tmp_path}"], dataset="~/kernels", settings=settings
        )
        assert report.settings.dataset == tmp_path / "kernels"


def test_files_of_something_else_are_not_replaced_unasked(
    zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path
) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    (tmp_path / "train.csv").write_text("a,b")
    other = FolderRepository(str(tmp_path / "other"))
    head = other.commit(CommitOperations(add={"data/train.csv": tmp_path / "train.csv"}), None, "theirs", "")
    for call in (
        lambda: filtercrawl_publish.publish(dataset, other.id),
        lambda: filtercrawl_publish.publish(dataset, other.id, dry_run=True),
        lambda: filtercrawl_publish.release(other.id, [f"local:{zoo}"], dataset=dataset),
    ):
        with pytest.raises(PolicyError, match=r"holds 1 file but no .*\(data/train\.csv\); .*--replace"):
            call()
    assert (other.head(), other.tags()) == (head, {})
    planned = filtercrawl_publish.publish(dataset, other.id, dry_run=True, replace=True)
    assert (planned.outcome, planned.removed) == ("planned", 1)
