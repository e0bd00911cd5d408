"""Nights without news on an empty machine, of a dataset whose tables have many parts."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from filtercrawl.api.errors import DatasetError, FiltercrawlError, PolicyError
from filtercrawl.cli.app import build
from filtercrawl.dataset.catalog.parts import PartTables
from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl_publish.publishing.checkpoints_file import CHECKPOINTS
from filtercrawl_publish.verification import verify_folder
from support.hub.server import Fault
from support.nightly import FIRST, REPO, Job
from support.zoo_files import models

pytestmark = pytest.mark.usefixtures("forked_children")

Place = Callable[..., None]
MOST_REQUESTS = 60


@pytest.fixture
def many_parts(job: Job, net: Place, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A dataset of 17 checkpoints, of which each has parts of its own; their machine is `home`."""
    monkeypatch.setattr(PartTables, "part_rows", 4)
    for seed in range(12):
        net(f"n{seed}", 30 + seed)
    assert job(machine="home") == 0
    files = job.hub.datasets[REPO].head.files
    assert sum(path.startswith("data/models/") for path in files) == 17
    assert sum(path.startswith("data/") and "/layers/" not in path for path in files) > MOST_REQUESTS
    return job


def content(job: Job) -> dict[str, bytes]:
    """The files of the last version, but for what is told of the run."""
    files = job.hub.datasets[REPO].head.files
    return {path: data for path, data in files.items() if path not in ("analysis/run.json", "data/runs.parquet")}


def asked_for_tables(job: Job) -> set[str]:
    return {table for asked in job.hub.log for table in TABLES if f"/data/{table}" in asked.path}


def test_few_requests_however_many_parts(many_parts: Job) -> None:
    job = many_parts
    before = job.hub.datasets[REPO].head.sha
    assert job(machine="new") == 0
    assert (job.record["outcome"], job.record["why"]) == ("unchanged", f"no changes since {job.versions()[-1]}")
    assert job.record["checkpoints"]["unchanged"] == 17
    assert len(job.hub.log) <= 15
    assert asked_for_tables(job) == {"sources"}
    assert job(machine="new") == 0
    assert len(job.hub.log) <= 10
    assert job.hub.datasets[REPO].head.sha == before


def test_news_make_the_same_version_on_an_empty_machine_and_on_one_that_was_quiet(
    many_parts: Job, net: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, made = many_parts, []
    assert job(machine="quiet") == 0
    last = content(job)
    net("late", 80)
    night, repo = job.night, job.hub.datasets[REPO]
    commits, tags = list(repo.commits), dict(repo.tags)
    for machine in ("home", "empty", "quiet"):
        job.night, repo.commits, repo.tags = night, list(commits), dict(tags)
        monkeypatch.setenv("XDG_CACHE_HOME", str(job.tmp / f"cache-{machine}"))
        assert job(machine=machine) == 0
        assert job.record["checkpoints"]["new"] == 1
        made.append(content(job))
    assert made[0].keys() == made[1].keys()
    changed = {path for path in made[0] if made[0][path] != last.get(path)}
    assert {path.partition("--")[2] for path in changed if "/part" in path} == {f"{job.versions()[-1]}.parquet"}
    assert [path for path in made[0] if made[0][path] != made[1][path]] == []
    assert made[2] == made[0]
    assert list(verify_folder(job.published())) == []


def test_a_folder_that_is_behind_is_brought_up_to_date(job: Job, net: Place) -> None:
    net("d", 12)
    assert job("--rebuild", machine="one") == 0
    net("e", 13)
    assert job(machine="two") == 0
    assert "hub/org/e/model.safetensors" not in models(job.tmp / "one")
    assert job(machine="one") == 0
    assert job.record["outcome"] == "unchanged"
    assert "hub/org/e/model.safetensors" in models(job.folder)
    net("f", 14)
    assert job(machine="one") == 0
    assert (job.record["outcome"], job.record["checkpoints"]["new"]) == ("published", 1)
    assert list(verify_folder(job.published())) == []
    assert not (job.folder / ".filtercrawl/outline").exists()


def test_a_night_that_a_limit_ends_says_so(job: Job, net: Place) -> None:
    net("d", 12)
    assert job("--limit", "0") == 0
    assert (job.record["outcome"], job.record["why"]) == (
        "unchanged",
        f"no changes since {job.versions()[-1]}, and 1 checkpoint left for the next run",
    )


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda job: job.hub.delete("org/a"), ("--prune", "--allow-loss")),
        (lambda job: (job.tmp / "filtercrawl.toml").write_text('[sync]\nopt_out = ["hub:org/a/*"]'), ("--allow-loss",)),
    ],
)
def test_what_goes_is_news(job: Job, change: Callable[[Job], Any], options: tuple[str, ...]) -> None:
    change(job)
    assert job(*options) == 0
    assert job.record["outcome"] == "published"
    assert models(job.published())["hub/org/a/model.safetensors"]["outcome"] == "skipped"
    assert list(verify_folder(job.published())) == []


def test_what_is_gone_and_kept_is_no_news(job: Job) -> None:
    job.hub.delete("org/a")
    for _ in range(2):
        assert job(machine="small") == 0
        assert (job.record["outcome"], job.record["removed"]) == ("unchanged", ["hub/org/a/model.safetensors"])
    assert asked_for_tables(job) == set()


@pytest.mark.parametrize("command", ["status", "sync", "publish", "migrate", "analyze", "subset", "verify", "diff"])
def test_what_a_quiet_night_leaves_is_taken_for_no_dataset(job: Job, command: str) -> None:
    assert job(machine="quiet") == 0
    folder = str(job.folder)
    arguments = {
        "sync": ["sync", "hub:org/*", "--dataset", folder],
        "publish": ["publish", REPO, "--dataset", folder],
        "subset": ["subset", "healthy-3x3", "--dataset", folder],
        "verify": ["verify", folder],
        "diff": ["diff", folder, REPO],
    }.get(command, [command, "--dataset", folder])
    result = CliRunner().invoke(build(job.plugins), arguments)
    assert isinstance(result.exception, DatasetError)
    assert "that release with --rebuild does" in str(result.exception)
    assert job("--rebuild", machine="quiet") == 0
    assert list(verify_folder(job.published())) == []
    assert models(job.folder).keys() == models(job.published()).keys()


def test_a_version_of_a_program_that_knows_no_outline_is_restored(
    job: Job, net: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is of an earlier version."""
    net("d", 12)
    with monkeypatch.context() as patch:
        patch.setattr("filtercrawl_publish.publishing.publish.write_checkpoints", lambda dataset: None)
        assert job() == 0
    assert job() == 0
    assert (job.record["outcome"], job.record["checkpoints"]["unchanged"]) == ("unchanged", 6)
    assert "index" in asked_for_tables(job)
    net("e", 13)
    assert job() == 0
    assert job() == 0
    assert asked_for_tables(job) == {"sources"}


@pytest.mark.parametrize("wrong", [b"", b"PAR1 is no table"])
def test_a_file_that_is_no_table_ends_no_night_without_a_word(job: Job, wrong: bytes) -> None:
    repo = job.hub.datasets[REPO]
    job.hub.blobs[hashlib.sha256(wrong).hexdigest()] = wrong
    repo.tags[FIRST] = job.hub.append(repo, {**repo.head.files, CHECKPOINTS: wrong}, f"Release {FIRST}")
    with pytest.raises(DatasetError, match=f"{CHECKPOINTS} differs from data/files"):
        job()


def test_an_outline_that_is_damaged_is_made_again(job: Job) -> None:
    assert job(machine="small") == 0
    catalog = job.folder / ".filtercrawl/outline/.filtercrawl/catalog.sqlite"
    data = catalog.read_bytes()
    for wrong in (b"", b"no database", data[:4096] + b"\0" * (len(data) - 4096)):
        for path in catalog.parent.glob("catalog.sqlite-*"):
            path.unlink()
        catalog.write_bytes(wrong)
        assert job(machine="small") == 0
        assert (job.record["outcome"], job.record["checkpoints"]["unchanged"]) == ("unchanged", 5)
    with sqlite3.connect(catalog) as db:
        assert db.execute("SELECT count(*) FROM models").fetchone() == (5,)


@pytest.mark.parametrize("name", ["data/checkpoints.parquet", "data/sources.parquet", "data/index/part.parquet"])
def test_a_night_that_was_cut_short_is_begun_again(job: Job, net: Place, name: str) -> None:
    net("d", 12)
    job.hub.watch = lambda number, asked, moment: Fault(status=403) if asked.path.endswith(name) else None
    with pytest.raises(FiltercrawlError):
        job(machine="small")
    job.hub.watch = lambda number, asked, moment: None
    arguments = ["sync", "hub:org/*", "--dataset", str(job.folder)]
    result = CliRunner().invoke(build(job.plugins), arguments)  # what came so far is taken for no dataset
    assert isinstance(result.exception, DatasetError)
    assert job(machine="small") == 0
    assert (job.record["base"], job.record["checkpoints"]["new"]) == (FIRST, 1)
    assert list(verify_folder(job.published())) == []


def test_another_dataset_is_not_taken_for_an_empty_folder(job: Job) -> None:
    assert job(machine="mine") == 0
    (job.folder / "manifest.json").write_text('{"dataset_id": "other", "root": "0"}')
    with pytest.raises(PolicyError, match="holds another dataset"):
        job(machine="mine")
