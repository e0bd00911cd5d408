"""The nightly: from the last version on, also on an empty machine; the real client against a Hub on loopback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import Sync
from filtercrawl.api.errors import (
    AccessDeniedError,
    ConflictError,
    DatasetError,
    FiltercrawlError,
    PolicyError,
    UsageError,
)
from filtercrawl.cli.app import build
from filtercrawl_publish.verification import verify_folder
from support.hub.server import Asked, Fault
from support.nightly import FIRST, REPO, ZOO, Job
from support.zoo_files import layers, models, put, state, table

pytestmark = pytest.mark.usefixtures("forked_children")


def layers_of(folder: Path) -> list[Path]:
    return sorted((folder / "data/layers").rglob("*.parquet"))


def mid(name: str, org: str = "org") -> str:
    return f"hub/{org}/{name}/model.safetensors"


def test_a_first_release(first: Job) -> None:
    record = json.loads((first.folder / "analysis/run.json").read_bytes())
    assert (record["outcome"], record["version"], record["base"]) == ("published", FIRST, None)
    assert (record["checkpoints"]["new"], record["checkpoints"]["duplicate"]) == (4, 1)


def test_a_quiet_night_on_an_empty_machine(job: Job) -> None:
    folder = job.published()
    assert list(verify_folder(folder)) == []
    there = json.loads((folder / "analysis/run.json").read_bytes())
    assert (there["outcome"], there["version"]) == ("published", FIRST)
    commits = len(job.hub.datasets[REPO].commits)
    assert job() == 0
    assert (job.record["outcome"], job.record["version"]) == ("unchanged", None)
    assert job.record["why"] == f"no changes since {FIRST}"
    assert job.record["checkpoints"]["unchanged"] == 5
    assert (job.versions(), len(job.hub.datasets[REPO].commits)) == ([FIRST], commits)
    assert "list" in job.asked_of_zoo()
    assert "resolve" not in job.asked_of_zoo()
    assert job.record["bytes_fetched"] == 0
    assert job.fetched_layers() == set()
    assert not (job.folder / "data/layers").exists()
    assert not list((job.folder / "analysis").glob("figures/*"))  # nobody needs them tonight
    assert len(job.hub.log) <= 60
    assert job(machine=job.folder.name) == 0
    assert job.record["outcome"] == "unchanged"
    assert len(job.hub.log) <= 10
    assert "tree" not in job.hub.counts()


@pytest.mark.exhaustive
def test_figures_are_handed_on_once_there_is_news(job: Job, net: Callable[..., None]) -> None:
    """Also by a folder that a quiet night left without them, and by one that was behind."""
    old = job.hub.datasets[REPO].head.files
    assert job(machine="other") == 0
    net("d", 12)
    assert job(machine="new") == 0
    assert job(machine="other") == 0
    net("e", 13)
    assert job(machine="other") == 0
    assert len(job.versions()) == 3
    for version in job.versions()[1:]:
        commit = job.hub.datasets[REPO].at(version)
        assert commit is not None
        assert {path for path in old if path.startswith(("analysis/", "figures/"))} <= set(commit.files)
    assert list(verify_folder(job.published())) == []
    commits = [job.hub.datasets[REPO].at(version) for version in job.versions()]
    texts = [commit.files["CHANGES.md"] for commit in commits if commit is not None]
    assert [text.count(b"\n## ") for text in texts] == [1, 2, 3]


def test_a_space_that_failed_is_made_up_for_the_next_night(job: Job) -> None:
    space = ("--space", "org/view")
    assert job("--dry-run", *space) == 0
    assert "would update the Space" in job.output
    assert job.hub.spaces == {}
    job.hub.fail("/api/repos/create", Fault(status=403))
    assert job(*space) == 0
    assert (job.record["outcome"], job.record["space"]["what"]) == ("unchanged", "failed")
    assert job.record["warnings"] == [job.record["space"]["problem"]]
    assert "warning: the Space was not updated" in " ".join(job.output.split())
    assert job(*space) == 0
    assert (job.record["space"]["what"], job.record["warnings"]) == ("updated", [])
    config = json.loads(job.hub.spaces["org/view"].head.files["config.json"])
    assert config["location"] == f"{REPO}@{job.hub.datasets[REPO].tags[FIRST]}"


@pytest.mark.exhaustive
def test_a_release_shows_its_version_in_a_space(job: Job, net: Callable[..., None]) -> None:
    net("new", 10)
    assert job("--space", "auto") == 0
    assert (job.record["outcome"], job.record["space"]["what"]) == ("published", "updated")
    config = json.loads(job.hub.spaces[REPO].head.files["config.json"])
    assert config["location"] == f"{REPO}@{job.hub.datasets[REPO].head.sha}"
    assert f"[the explorer](https://huggingface.co/spaces/{REPO})" in (job.published() / "README.md").read_text()


@pytest.mark.exhaustive
def test_additions_changes_and_removals_on_an_empty_machine(job: Job, net: Callable[..., None], tmp_path: Path) -> None:
    before = layers(job.published())
    net("new", 10)
    net("c", 11)
    job.hub.delete("org/a")
    assert job("--prune", "--allow-loss") == 0
    assert job.record["removed"] == [mid("a")]
    folder = job.published()
    assert list(verify_folder(folder)) == []
    after = layers(folder)
    assert {layer.partition("#")[0] for layer in after} == {
        mid("b"),
        mid("c"),
        mid("new"),
        mid("twin"),
        mid("x", "other"),
    }
    kept = [layer for layer in after if layer.startswith((mid("b"), mid("x", "other")))]
    assert len(kept) == 6
    assert all((after[layer] == before[layer]).all() for layer in kept)
    assert (after[f"{mid('c')}#stem.weight"] == state(11)["stem.weight"].numpy()).all()
    # A version that somebody pinned is what it was, for the real client too.
    script = (
        "import datasets, sys; datasets.config.USE_PARQUET_EXPORT = False\n"
        f"for version in sys.argv[1:]: print(len(datasets.load_dataset({REPO!r}, 'layers', split='train', "
        "revision=version)))"
    )
    online = {"HF_ENDPOINT": job.hub.url, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script, *job.versions()]
    done = subprocess.run(command, env={**os.environ, **online}, stdout=subprocess.PIPE, check=True)
    assert done.stdout.split() == [b"12", b"15"]


@pytest.mark.exhaustive
def test_effective_weights_go_from_machine_to_machine(job: Job, net: Callable[..., None]) -> None:
    before = {row["layer_id"]: row for row in table(job.published(), "effective")}
    assert set(before) == {
        f"{name}#features.0.weight" for name in (*map(mid, ("a", "b", "c", "twin")), mid("x", "other"))
    }
    net("new", 10)
    assert job() == 0
    after = {row["layer_id"]: row for row in table(job.published(), "effective")}
    assert after.pop(f"{mid('new')}#features.0.weight")["steps"] == ["batch_norm"]
    assert after == before
    assert list(verify_folder(job.published())) == []


@pytest.mark.exhaustive
def test_only_what_is_new_lies_here_and_weights_are_handed_on(job: Job, net: Callable[..., None]) -> None:
    assert models(job.published())[mid("twin")]["duplicate_of"] == mid("c")
    net("new", 10)
    job.hub.delete("org/c")  # its twin has no file: that of the one that goes is fetched
    assert job("--prune", "--allow-loss") == 0
    assert [path.count("org-c") for path in job.fetched_layers()] == [1]
    assert sorted(path.name[:6] for path in (job.folder / "data/layers").rglob("*.parquet")) == ["org-ne", "org-tw"]
    rows = models(job.published())
    assert (rows[mid("twin")]["outcome"], rows[mid("twin")]["duplicate_of"]) == ("emitted", None)
    assert list(verify_folder(job.published())) == []


@pytest.mark.exhaustive
def test_a_failure_is_not_news_on_the_next_machine_and_waits(job: Job) -> None:
    job.hub.create("org/bad", {"model.safetensors": b"no checkpoint at all"})
    assert job() == 3
    assert (job.record["outcome"], job.record["version"]) == ("incomplete", job.versions()[1])
    assert list(job.record["failures"]["new"]) == [mid("bad")]
    job.night -= 1  # on the same day: its pause is not over
    assert job(machine="other") == 0
    assert job.record["checkpoints"]["waiting"] == 1
    assert (job.record["failures"]["new"], list(job.record["failures"]["all"])) == ({}, [mid("bad")])
    assert "resolve" not in job.asked_of_zoo()


@pytest.mark.exhaustive
def test_another_try_of_what_fails_is_no_version(job: Job) -> None:
    job.hub.create("org/bad", {"model.safetensors": b"no checkpoint at all"})
    assert job(machine="home") == 3
    versions, head = job.versions(), job.hub.datasets[REPO].head.sha
    before = models(job.folder)[mid("bad")]
    for machine in (None, "home"):  # an empty machine knows of one try; so did this one
        assert job(machine=machine) == 0
        assert (job.record["outcome"], job.record["version"]) == ("unchanged", None)
        again = models(job.folder)[mid("bad")]
        assert (again["attempts"], again["next_retry"] > before["next_retry"]) == (before["attempts"] + 1, True)
        assert (job.versions(), job.hub.datasets[REPO].head.sha) == (versions, head)


@pytest.mark.exhaustive
def test_part_of_a_zoo_is_down(job: Job, net: Callable[..., None]) -> None:
    net("new", 10)
    job.hub.fail("/api/models", Fault(status=403))
    assert job("--prune", zoo=ZOO[::-1]) == 3
    assert list(job.record["missing"]) == ["hub:other/*"]
    assert (job.record["outcome"], job.record["version"]) == ("incomplete", job.versions()[1])
    rows = models(job.published())
    assert [rows[mid(*names)]["outcome"] for names in (("a",), ("new",), ("x", "other"))] == ["emitted"] * 3
    job.hub.fail("/api/models", Fault(status=403))
    assert job("--fail-on", "none", zoo=("hub:other/*",)) == 0


@pytest.mark.exhaustive
def test_a_release_that_lost_much_is_refused(job: Job) -> None:
    job.hub.delete("org/a")
    with pytest.raises(PolicyError, match=r"20\.0 %.*org/a.*--allow-loss"):
        job("--prune", machine="home")
    assert (job.record["outcome"], job.record["exit_code"], job.record["version"]) == ("refused", 4, None)
    with pytest.raises(PolicyError):  # also the next night, where the zoo offers no less than before
        job("--prune", machine="home")
    assert len(job.versions()) == 1
    (job.tmp / "filtercrawl.toml").write_text("[publish]\nmax_lost = 0.5")
    assert job("--prune", machine="home") == 0
    assert len(job.versions()) == 2


@pytest.mark.exhaustive
def test_what_was_approved_and_no_more(job: Job, net: Callable[..., None], tmp_path: Path) -> None:
    net("asked-for", 13)
    net("moved-on", 14)
    job.hub.delete("org/a")
    plan = tmp_path / "plan.json"
    assert job("--dry-run", "--prune", "--plan", str(plan)) == 0
    written = json.loads(plan.read_bytes())
    assert written["head"] == job.hub.datasets[REPO].head.sha
    assert [(todo["model_id"], todo["why"]) for todo in written["todo"]] == [
        (mid("asked-for"), "new"),
        (mid("moved-on"), "new"),
    ]
    assert all(todo["revision"] for todo in written["todo"])
    assert written["removed"] == [mid("a")]
    assert (written["sources"]["hub"]["new"], written["sources"]["hub"]["removed"]) == (2, 1)
    assert len(job.versions()) == 1
    net("moved-on", 15)
    net("late", 16)
    job.hub.delete("org/b")
    assert job("--apply", str(plan), "--allow-loss", zoo=()) == 0
    assert job.record["deferred"] == [mid("b"), mid("late"), mid("moved-on")]
    rows = models(job.published())
    assert rows.keys() == {*map(mid, ("a", "asked-for", "b", "c", "twin")), mid("x", "other")}
    assert (rows[mid("a")]["outcome"], rows[mid("b")]["outcome"]) == ("skipped", "emitted")
    with pytest.raises(ConflictError, match="changed since the plan was made"):
        job("--apply", str(plan), zoo=())
    for arguments in (["--apply", str(plan), "hub:else/*"], ["--plan", str(plan)]):
        with pytest.raises(UsageError):
            job(*arguments, zoo=())
    plan.write_text("{}")
    with pytest.raises(UsageError, match="cannot be read as a plan"):
        job("--apply", str(plan), zoo=())


@pytest.mark.exhaustive
def test_two_machines_take_turns(job: Job, net: Callable[..., None]) -> None:
    assert job(machine="one") == 0
    net("d", 12)
    assert job(machine="two") == 0
    net("e", 13)
    assert job(machine="one") == 0
    assert (job.record["base"], job.record["checkpoints"]["new"]) == (job.versions()[1], 1)
    assert list(verify_folder(job.published())) == []
    assert models(job.published()).keys() >= {mid("d"), mid("e")}


def test_another_dataset_is_not_released_over_this_one(job: Job, run_sync: Sync) -> None:
    run_sync("hub:other/*", dataset=job.tmp / "mine")
    with pytest.raises(PolicyError, match="holds another dataset"):
        job(machine="mine")
    assert len(job.versions()) == 1


def test_a_catalog_that_is_made_again_knows_what_lies_in_the_repo(job: Job) -> None:
    assert job("--rebuild", machine="second") == 0
    (job.folder / "data/layers").mkdir()
    assert job("--rebuild", machine="second") == 0
    assert (job.record["outcome"], job.record["checkpoints"]["unchanged"]) == ("unchanged", 5)
    assert "resolve" not in job.asked_of_zoo()


def test_files_of_the_owner_beside_the_dataset_are_not_fetched_and_stay(job: Job, net: Callable[..., None]) -> None:
    repo = job.hub.datasets[REPO]
    job.hub.append(repo, {**repo.head.files, "paper.pdf": b"%PDF"}, "Add the paper")
    for number, name in enumerate(("one", "two")):
        net(name, 20 + number)
        assert job() == 0
        assert job.record["outcome"] == "published"
        assert not (job.folder / "paper.pdf").exists()
        assert job.hub.datasets[REPO].head.files["paper.pdf"] == b"%PDF"
    assert (job.folder / "analysis/report.html").is_file()


def test_a_version_may_have_any_name(job: Job) -> None:
    tags = job.hub.datasets[REPO].tags
    tags["paper"] = tags.pop(FIRST)
    assert job() == 0
    assert (job.record["outcome"], job.record["base"]) == ("unchanged", "paper")


def test_a_version_is_named_by_hand(job: Job, net: Callable[..., None]) -> None:
    net("new", 10)
    with pytest.raises(UsageError, match=f"version {FIRST} exists already"):
        job("--version", FIRST)
    assert job.asked_of_zoo() == set()  # told before any work
    with pytest.raises(UsageError, match="cannot be a version"):
        job("--version", "main")
    assert job("--version", "paper") == 0
    assert job.record["version"] == "paper"
    assert set(job.versions()) == {FIRST, "paper"}
    assert job() == 0
    assert (job.record["outcome"], job.record["base"]) == ("unchanged", "paper")


def test_a_night_that_only_finishes_an_earlier_one_says_so(job: Job) -> None:
    job.hub.datasets[REPO].tags.pop(FIRST)
    summary = job.tmp / "summary.md"
    assert job("--summary", str(summary)) == 0
    assert (job.record["outcome"], job.record["finished"], job.record["version"]) == ("unchanged", FIRST, None)
    assert f"finished {FIRST}, which an earlier run had committed and not tagged" in " ".join(job.output.split())
    text = summary.read_text("utf-8")
    assert text.startswith(f"# {REPO}: finished {FIRST}, no changes since\n")
    assert "nothing published" not in text
    assert job("--summary", str(summary)) == 0
    assert job.record["finished"] is None
    assert "finished" not in job.output + summary.read_text("utf-8")


def test_a_version_named_by_hand_whose_run_was_killed_before_its_tag_is_completed(
    job: Job, net: Callable[..., None]
) -> None:
    net("new", 10)
    assert job("--version", "paper") == 0
    job.hub.datasets[REPO].tags.pop("paper")
    assert job("--version", "paper") == 0
    assert (job.record["outcome"], job.record["base"], job.record["finished"]) == ("unchanged", "paper", "paper")
    assert set(job.versions()) == {FIRST, "paper"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("manifest.json", marks=pytest.mark.exhaustive),
        pytest.param("data/models/part.parquet", marks=pytest.mark.exhaustive),
        "data/index/part.parquet",
    ],
)
def test_a_restore_that_was_cut_short_is_begun_again(job: Job, net: Callable[..., None], name: str) -> None:
    asked_for = 0

    def cut(number: int, asked: Asked, moment: str) -> Fault | None:
        nonlocal asked_for
        asked_for += asked.path.endswith(name) and moment == "asked"
        read_before = name == "manifest.json"
        return Fault(status=403) if asked.path.endswith(name) and asked_for > read_before else None

    net("d", 12)
    job.hub.watch = cut
    with pytest.raises(FiltercrawlError):
        job(machine="small")
    job.hub.watch = lambda number, asked, moment: None
    assert job(machine="small") == 0
    assert job.record["checkpoints"]["new"] == 1
    assert not list(verify_folder(job.published()))


@pytest.mark.exhaustive
def test_whoever_waits_is_told(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job.hub.create("org/b_x_", {"model.safetensors": b"<img src=x>"})
    told, page = tmp_path / "told", tmp_path / "page.md"
    script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['FILTERCRAWL_OUTCOME'] + sys.stdin.read())"
    tell = shlex.join([sys.executable, "-c", script, str(told)])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    page.write_text("before\n")
    assert job("--notify-cmd", tell) == 3
    assert told.read_text().startswith("incomplete{")
    assert json.loads(told.read_text().removeprefix("incomplete"))["version"] == job.versions()[1]
    text = page.read_text()
    assert text.startswith("before\n# acme/kernels: incomplete")
    assert "## New failures (1)" in text
    assert "org/b_x_/model.safetensors" in text
    assert "&#" not in text
    own = tmp_path / "own.md"
    assert job("--notify-cmd", "no-such-program", "--summary", str(own), "--fail-on", "none") == 0
    assert "--notify-cmd: no-such-program cannot be run" in job.output
    assert own.read_text().startswith("# acme/kernels: ")
    assert page.read_text() == text
    with pytest.raises(UsageError, match="no command"):
        job("--notify-cmd", "'")


@pytest.mark.exhaustive
def test_no_path_of_this_machine_is_published(job: Job, zoo: Path) -> None:
    put(zoo / "net.safetensors", state(1))
    del job.hub.datasets[REPO]
    assert job(zoo=(f"local:{zoo}",)) == 0
    for path in job.published().rglob("*"):
        if path.is_file():
            assert str(job.tmp).encode() not in path.read_bytes(), path


@pytest.mark.exhaustive
def test_published_weights_make_room_for_new_ones(job: Job, net: Callable[..., None]) -> None:
    net("d", 12)
    assert job(machine="small") == 0
    assert [path.name[:5] for path in (job.folder / "data/layers").rglob("*.parquet")] == ["org-d"]
    net("e", 13)
    size = sum(path.stat().st_size for path in layers_of(job.folder))
    assert job("--max-disk", str(size + 1), machine="small") == 0
    assert job.record["checkpoints"]["new"] == 1
    assert [path.name[:5] for path in (job.folder / "data/layers").rglob("*.parquet")] == ["org-e"]
    assert len(layers(job.published())) == 18


def test_a_release_is_larger_than_the_disk_may_be(job: Job) -> None:
    whole = {path.name for path in layers_of(job.published())}
    del job.hub.datasets[REPO]
    # Listed in this order, the last one takes over what `other/x` brought and what has been sent.
    job.hub.create("org/x", dict(job.hub.repos["other/x"].head.files))
    zoo = ("hub:other/*", "hub:org/*")
    assert job("--max-disk", "3k", zoo=zoo) == 0
    assert "to free disk space" in job.output
    counts = job.record["checkpoints"]
    assert counts["new"] + counts["duplicate"] == 6
    assert len(job.versions()) == 1
    assert sum(path.stat().st_size for path in layers_of(job.folder)) < 3_000
    found = models(job.published())
    assert (found[mid("x")]["outcome"], found[mid("x", "other")]["outcome"]) == ("emitted", "duplicate")
    assert not list(verify_folder(job.published()))
    assert len({path.name for path in layers_of(job.published())} & whole) == 3  # x is another checkpoint's now
    # A night later it is all known, and nothing of it is here or fetched.
    assert job("--max-disk", "3k", machine="machine-2", zoo=zoo) == 0
    assert (job.record["checkpoints"]["unchanged"], job.fetched_layers()) == (6, set())


@pytest.mark.parametrize(
    ("when", "lost"),
    [
        pytest.param("upload", False),
        pytest.param("upload", True, marks=pytest.mark.exhaustive),
        pytest.param("commit", False, marks=pytest.mark.exhaustive),
        pytest.param("commit", True),
    ],
)
def test_what_was_sent_ahead_and_got_no_version_gets_the_next(job: Job, when: str, lost: bool) -> None:
    """It is read again only where the Hub has lost it."""
    whole = {path.name for path in layers_of(job.published())}
    del job.hub.datasets[REPO]
    job.hub.blobs.clear()
    pattern, good = ("*/info/lfs/objects/batch", 1) if when == "upload" else ("*/commit/main", 0)
    seen = 0

    def refusing(number: int, asked: Asked, moment: str) -> Fault | None:
        nonlocal seen
        seen += fnmatchcase(asked.path, pattern) and moment == "asked"
        return Fault(status=403) if seen > good and fnmatchcase(asked.path, pattern) else None

    job.hub.watch = refusing
    with pytest.raises(FiltercrawlError):
        job("--max-disk", "3k", machine="small")
    assert not job.versions()
    job.hub.watch = lambda number, asked, moment: None
    before = set(job.hub.blobs)
    if lost:
        job.hub.blobs.clear()
    assert job("--max-disk", "3k", machine="small") == 0
    assert ("will be written again" in job.output) is lost
    sent = {asked.path.rpartition("/")[2] for asked in job.hub.log if asked.method == "PUT"}
    assert bool(sent & before) is lost
    assert not list(verify_folder(job.published()))
    assert {path.name for path in layers_of(job.published())} == whole


def test_a_hub_that_promises_what_it_has_not_is_believed_once(job: Job) -> None:
    del job.hub.datasets[REPO]
    job.hub.blobs.clear()
    job.hub.fail("*/commit/main", Fault(status=403))
    with pytest.raises(AccessDeniedError):
        job("--max-disk", "3k", machine="small")

    def forgetful(number: int, asked: Asked, moment: str) -> Fault | None:
        if "/commit/" in asked.path and moment == "asked":
            job.hub.blobs.clear()
        return None

    job.hub.watch = forgetful
    with pytest.raises(DatasetError, match="uploaded content may be gone"):
        job("--max-disk", "3k", machine="small")
    job.hub.watch = lambda number, asked, moment: None
    assert job("--max-disk", "3k", machine="small") == 0
    assert "will be written again" in job.output
    assert not list(verify_folder(job.published()))


def test_a_sync_does_not_trust_in_what_was_sent_and_a_plan_does(job: Job) -> None:
    """A sync knows no place to ask, so what it has written can be published anywhere. A plan writes nothing."""
    del job.hub.datasets[REPO]
    job.hub.fail("*/commit/main", Fault(status=403))
    with pytest.raises(AccessDeniedError):
        job("--max-disk", "3k", machine="small")
    assert job("--max-disk", "3k", "--dry-run", machine="small") == 0
    assert "will be written again" not in job.output
    assert not [asked for asked in job.hub.log if asked.method not in ("GET", "HEAD")]
    arguments = ["sync", *ZOO, "--dataset", str(job.folder), "--device", "cpu"]
    done = CliRunner().invoke(build(job.plugins), arguments)
    assert (done.exit_code, "will be written again" in done.output) == (0, True)
    assert not list(verify_folder(job.folder))


def test_a_zoo_without_anything_publishes_nothing(job: Job, zoo: Path) -> None:
    del job.hub.datasets[REPO]
    assert job(zoo=(f"local:{zoo}",)) == 0
    assert (job.versions(), "nothing to publish" in job.output) == ([], True)
