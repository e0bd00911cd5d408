"""The nightly: from the last version on, also on an empty machine; the real client against a Hub on loopback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from filtercrawl.cli.app import build
from filtercrawl.errors import BusyError, FiltercrawlError, RefusedError, UsageError
from filtercrawl.manager import Plugins
from filtercrawl.transport import network
from filtercrawl_publish.remote import remote
from filtercrawl_publish.verify import findings
from hub_server import Fault, HubServer
from zoo_files import layers, models, put, state

REPO = "acme/kernels"
DAY = 86400
MONDAY = 1_780_000_000


@dataclass
class Job:
    """A nightly job: each machine is a folder, each night a day later."""

    plugins: Plugins
    hub: HubServer
    tmp: Path
    set_day: Callable[[int], None]
    night: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    output: str = ""

    def __call__(self, *options: str, machine: str | None = None, zoo: tuple[str, ...] = ("hub:org/*",)) -> int:
        """Run one night, by default on an empty machine; returns the exit code, or raises the error."""
        self.night += 1
        self.set_day(self.night)
        self.folder = self.tmp / (machine or f"machine-{self.night}")
        self.hub.forget()
        arguments = ["release", REPO, *zoo, "--dataset", str(self.folder), "--device", "cpu", *options]
        result = CliRunner().invoke(build(self.plugins), arguments)
        run = self.folder / "analysis/run.json"
        self.record = json.loads(run.read_bytes()) if run.is_file() else {}
        self.output = result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code

    def versions(self) -> list[str]:
        return sorted(self.hub.datasets[REPO].tags) if REPO in self.hub.datasets else []

    def published(self, revision: str | None = None) -> Path:
        """Everything of a version, in a folder."""
        repo = remote(REPO, network())
        commit = repo.resolve(revision)
        folder = self.tmp / f"published-{commit[:8]}"
        repo.fetch([path for path in repo.files(commit) if path[0] != "."], commit, folder)
        return folder

    def asked_of_zoo(self) -> set[str]:
        return {asked.kind for asked in self.hub.log if asked.path.startswith(("/api/models", "/org/"))}

    def fetched_layers(self) -> list[str]:
        return [asked.path for asked in self.hub.log if "/resolve/" in asked.path and "data/layers/" in asked.path]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def job(plugins: Plugins, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    # One analysis: the others take seconds each, and have tests of their own.
    few = replace(plugins, analyses=tuple(a for a in plugins.analyses if a.name == "census"))

    def set_day(night: int) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(MONDAY + DAY * night))

    return Job(few, hub, tmp_path, set_day)


@pytest.fixture
def net(hub: HubServer, tmp_path: Path) -> Callable[..., None]:
    """Put a network into the zoo, or a new one into its place."""

    def make(name: str, seed: int, org: str = "org") -> None:
        files = {"model.safetensors": put(tmp_path / "made.safetensors", state(seed)).read_bytes()}
        (hub.commit if f"{org}/{name}" in hub.repos else hub.create)(f"{org}/{name}", files)

    return make


def mid(name: str, org: str = "org") -> str:
    return f"hub/{org}/{name}/model.safetensors"


def test_a_first_release_and_a_quiet_night_on_an_empty_machine(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    net("b", 2)
    net("twin", 2)
    assert job() == 0
    assert (job.record["outcome"], job.record["version"], job.record["base"]) == ("published", "v2026.05.29", None)
    assert list(findings(job.published())) == []
    there = json.loads((job.published() / "analysis/run.json").read_bytes())
    assert (there["outcome"], there["version"]) == ("published", "v2026.05.29")
    commits = len(job.hub.datasets[REPO].commits)
    assert job() == 0
    assert (job.record["outcome"], job.record["version"]) == ("unchanged", None)
    assert job.record["why"] == "nothing changed since v2026.05.29"
    assert job.record["checkpoints"]["unchanged"] == 3
    assert job.versions() == ["v2026.05.29"]
    assert len(job.hub.datasets[REPO].commits) == commits
    assert "resolve" not in job.asked_of_zoo()
    assert "list" in job.asked_of_zoo()
    assert job.record["bytes_fetched"] == 0
    assert job.fetched_layers() == []
    assert not (job.folder / "data/layers").exists()


def test_additions_changes_and_removals_on_an_empty_machine(job: Job, net: Callable[..., None], tmp_path: Path) -> None:
    for seed, name in enumerate(["kept", "changed", "gone", "older"]):
        net(name, seed)
    assert job() == 0
    before = layers(job.published())
    net("new", 10)
    net("changed", 11)
    job.hub.delete("org/gone")
    assert job("--prune", "--allow-loss") == 0
    assert job.fetched_layers() == []
    assert sorted(path.name[:6] for path in (job.folder / "data/layers").rglob("*.parquet")) == ["org-ch", "org-ne"]
    folder = job.published()
    assert list(findings(folder)) == []
    after = layers(folder)
    assert {layer.partition("#")[0] for layer in after} == {mid(name) for name in ("kept", "changed", "new", "older")}
    assert all((after[layer] == before[layer]).all() for layer in after if layer.startswith(("hub/org/k", "hub/org/o")))
    assert (after[f"{mid('changed')}#stem.weight"] == state(11)["stem.weight"].numpy()).all()
    assert job.record["removed"] == [mid("gone")]
    # A version that somebody pinned is what it was, for the real client too.
    assert layers(job.published("v2026.05.29")).keys() == before.keys()
    script = (
        "import datasets, sys; datasets.config.USE_PARQUET_EXPORT = False\n"
        f"for version in sys.argv[1:]: print(len(datasets.load_dataset({REPO!r}, 'layers', split='train', "
        "revision=version)))"
    )
    hub = {
        "HF_ENDPOINT": job.hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "h"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *job.versions()], env={**os.environ, **hub}, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.split() == [b"8", b"8"]


def test_weights_are_handed_on_by_fetching_one_file(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    net("b", 1)
    net("c", 3)
    assert job() == 0
    assert models(job.published())[mid("b")]["outcome"] == "duplicate"
    job.hub.delete("org/a")
    assert job("--prune", "--allow-loss") == 0
    assert [path.count("org-a") for path in sorted(set(job.fetched_layers()))] == [1]
    rows = models(job.published())
    assert (rows[mid("b")]["outcome"], rows[mid("b")]["duplicate_of"]) == ("emitted", None)
    assert list(findings(job.published())) == []


def test_a_failure_is_not_news_on_the_next_machine_and_waits(job: Job, net: Callable[..., None]) -> None:
    net("good", 1)
    job.hub.create("org/bad", {"model.safetensors": b"no checkpoint at all"})
    assert job() == 3
    assert (job.record["outcome"], job.record["version"]) == ("incomplete", "v2026.05.29")
    assert list(job.record["failures"]["new"]) == [mid("bad")]
    job.night -= 1  # on the same day: its pause is not over
    assert job(machine="other") == 0
    assert job.record["checkpoints"]["waiting"] == 1
    assert (job.record["failures"]["new"], list(job.record["failures"]["all"])) == ({}, [mid("bad")])
    assert "resolve" not in job.asked_of_zoo()


def test_part_of_a_zoo_is_down(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    net("x", 2, org="other")
    zoo = ("hub:org/*", "hub:other/*")
    assert job(zoo=zoo) == 0
    net("b", 3)
    job.hub.fail("/api/models/other/*", *[Fault(status=404)] * 9)
    job.hub.fail("/api/models", Fault(status=403))
    code = job("--prune", zoo=("hub:other/*", "hub:org/*"))
    assert code == 3
    assert list(job.record["missing"]) == ["hub:other/*"]
    assert job.record["outcome"] == "incomplete"
    assert job.record["version"] == job.versions()[-1] != job.versions()[0]
    rows = models(job.published())
    assert [rows[mid(*names)]["outcome"] for names in (("a",), ("b",), ("x", "other"))] == ["emitted"] * 3
    job.hub.fail("/api/models", Fault(status=403))
    assert job("--fail-on", "none", zoo=("hub:other/*",)) == 0


def test_a_release_that_lost_much_is_refused(job: Job, net: Callable[..., None]) -> None:
    for seed, name in enumerate("abc"):
        net(name, seed)
    assert job() == 0
    job.hub.delete("org/a")
    with pytest.raises(RefusedError, match=r"33\.3 %.*org/a.*--allow-loss"):
        job("--prune", machine="home")
    assert (job.record["outcome"], job.record["exit_code"], job.record["version"]) == ("refused", 4, None)
    assert len(job.versions()) == 1
    with pytest.raises(RefusedError):  # also the next night, where the zoo offers no less than before
        job("--prune", machine="home")
    (job.tmp / "filtercrawl.toml").write_text("[publish]\nmax_lost = 0.5")
    assert job("--prune", machine="home") == 0
    assert len(job.versions()) == 2


def test_what_was_approved_and_no_more(job: Job, net: Callable[..., None], tmp_path: Path) -> None:
    net("kept", 1)
    net("gone", 2)
    assert job() == 0
    net("asked-for", 3)
    net("moved-on", 4)
    job.hub.delete("org/gone")
    plan = tmp_path / "plan.json"
    assert job("--dry-run", "--prune", "--plan", str(plan)) == 0
    written = json.loads(plan.read_bytes())
    assert written["head"] == job.hub.datasets[REPO].head.sha
    assert [(todo["model_id"], todo["why"]) for todo in written["todo"]] == [
        (mid("asked-for"), "new"),
        (mid("moved-on"), "new"),
    ]
    assert all(todo["revision"] for todo in written["todo"])
    assert written["removed"] == [mid("gone")]
    assert (written["sources"]["hub"]["new"], written["sources"]["hub"]["removed"]) == (2, 1)
    assert len(job.versions()) == 1
    net("moved-on", 5)
    net("late", 6)
    job.hub.delete("org/kept")
    assert job("--apply", str(plan), "--allow-loss", zoo=()) == 0
    assert job.record["deferred"] == [mid("kept"), mid("late"), mid("moved-on")]
    rows = models(job.published())
    assert {name for name, row in rows.items() if row["outcome"] == "emitted"} == {mid("kept"), mid("asked-for")}
    assert rows[mid("gone")]["outcome"] == "skipped"
    with pytest.raises(BusyError, match="changed since the plan was made"):
        job("--apply", str(plan), zoo=())
    for arguments in (["--apply", str(plan), "hub:else/*"], ["--plan", str(plan)]):
        with pytest.raises(UsageError):
            job(*arguments, zoo=())
    plan.write_text("{}")
    with pytest.raises(UsageError, match="cannot be read as a plan"):
        job("--apply", str(plan), zoo=())


def test_two_machines_take_turns(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    assert job(machine="one") == 0
    net("b", 2)
    assert job(machine="two") == 0
    net("c", 3)
    assert job(machine="one") == 0
    assert (job.record["base"], job.record["checkpoints"]["new"]) == (job.versions()[1], 1)
    assert list(findings(job.published())) == []
    assert {row["outcome"] for row in models(job.published()).values()} == {"emitted"}
    net("d", 4)
    assert job(machine="two") == 0
    assert len(models(job.published())) == 4


def test_another_dataset_is_not_released_over_this_one(job: Job, net: Callable[..., None], run_sync: Any) -> None:
    net("a", 1)
    assert job() == 0
    run_sync("hub:org/*", dataset=job.tmp / "mine")
    with pytest.raises(RefusedError, match="holds another dataset"):
        job(machine="mine")
    assert len(job.versions()) == 1


def test_a_catalog_that_is_made_again_knows_what_lies_in_the_repo(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    assert job() == 0
    net("b", 2)
    assert job(machine="second") == 0
    assert job("--rebuild", machine="second") == 0
    assert (job.record["outcome"], job.record["checkpoints"]["unchanged"]) == ("unchanged", 2)
    assert "resolve" not in job.asked_of_zoo()


def test_a_version_may_have_any_name(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    assert job() == 0
    tags = job.hub.datasets[REPO].tags
    tags["paper"] = tags.pop("v2026.05.29")
    assert job() == 0
    assert (job.record["outcome"], job.record["base"]) == ("unchanged", "paper")


def test_an_interrupted_restore_begins_again(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    net("b", 2)
    assert job() == 0
    job.hub.fail("*/data/samples.parquet", Fault(status=404))
    with pytest.raises(FiltercrawlError):
        job(machine="later")
    assert job(machine="later") == 0
    assert job.record["checkpoints"]["unchanged"] == 2


def test_whoever_waits_is_told(
    job: Job, net: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net("a", 1)
    job.hub.create("org/b_x_", {"model.safetensors": b"<img src=x>"})
    told, page = tmp_path / "told", tmp_path / "page.md"
    script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['FILTERCRAWL_OUTCOME'] + sys.stdin.read())"
    tell = shlex.join([sys.executable, "-c", script, str(told)])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    page.write_text("before\n")
    assert job("--notify-cmd", tell) == 3
    assert told.read_text().startswith("incomplete{")
    assert json.loads(told.read_text().removeprefix("incomplete"))["version"] == job.versions()[0]
    text = page.read_text()
    assert text.startswith("before\n# acme&#47;kernels: incomplete")
    assert "## New failures (1)" in text
    assert "org/b_x_" not in text  # escaped
    own = tmp_path / "own.md"
    assert job("--notify-cmd", "no-such-program", "--summary", str(own), "--fail-on", "none") == 0
    assert "--notify-cmd: no-such-program cannot be run" in job.output
    assert own.read_text().startswith("# acme&#47;kernels: ")
    assert page.read_text() == text
    with pytest.raises(UsageError, match="no command"):
        job("--notify-cmd", "'")


def test_no_path_of_this_machine_is_published(job: Job, zoo: Path) -> None:
    put(zoo / "net.safetensors", state(1))
    assert job(zoo=(f"local:{zoo}",)) == 0
    for path in job.published().rglob("*"):
        if path.is_file():
            assert str(job.tmp).encode() not in path.read_bytes(), path


def test_published_weights_make_room_for_new_ones(job: Job, net: Callable[..., None]) -> None:
    net("a", 1)
    assert job(machine="small") == 0
    net("b", 2)
    assert job("--max-disk", "3k", machine="small") == 0
    assert job.record["checkpoints"]["new"] == 1
    assert [path.name[:5] for path in (job.folder / "data/layers").rglob("*.parquet")] == ["org-b"]
    assert len(layers(job.published())) == 4
    assert job(machine="small") == 0
    assert job.record["outcome"] == "unchanged"


def test_a_zoo_without_anything_publishes_nothing(job: Job, zoo: Path) -> None:
    assert job(zoo=(f"local:{zoo}",)) == 0
    assert (job.versions(), "nothing to publish" in job.output) == ([], True)
