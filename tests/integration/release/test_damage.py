"""Commits of others on `main`: what they delete or change of the last version is restored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest
from typer.testing import CliRunner

from filtercrawl.api.errors import DatasetError, PolicyError
from filtercrawl.cli.app import build
from filtercrawl_publish.verification import verify_folder
from support.nightly import FIRST, REPO, Job

pytestmark = pytest.mark.usefixtures("forked_children")


def damage(job: Job, *, delete: Iterable[str] = (), add: Mapping[str, bytes] | None = None) -> None:
    """Let somebody else commit to the head of the dataset."""
    repo = job.hub.datasets[REPO]
    files = {path: data for path, data in repo.head.files.items() if path not in {*delete}} | {**(add or {})}
    job.hub.append(repo, files, "Delete files with huggingface_hub")


def version_content(job: Job, version: str) -> dict[str, bytes]:
    commit = job.hub.datasets[REPO].at(version)
    assert commit is not None
    return commit.files


def a_layers_file(job: Job) -> str:
    return min(path for path in job.hub.datasets[REPO].head.files if path.startswith("data/layers/"))


def is_restored(job: Job) -> bool:
    return version_content(job, "main") == version_content(job, FIRST)


def test_an_idle_night_restores_a_layers_file_that_somebody_deleted(job: Job) -> None:
    path = a_layers_file(job)
    damage(job, delete=[path])
    assert job() == 0
    assert is_restored(job)
    assert (job.record["outcome"], job.versions()) == ("unchanged", [FIRST])
    (warning,) = job.record["warnings"]
    assert f"lacks {path}" in warning
    assert f"restored {FIRST}" in warning
    assert path in "".join(job.output.split())
    assert list(verify_folder(job.published())) == []
    assert job(machine=job.folder.name) == 0
    assert job.record["warnings"] == []
    assert len(job.hub.log) <= 9  # and one of a new process, for the client itself


@pytest.mark.parametrize(
    "path",
    [
        "data/index/",
        "manifest.json",
        *(pytest.param(path, marks=pytest.mark.exhaustive) for path in ("README.md", "CHANGES.md", "analysis/")),
    ],
)
def test_whatever_is_deleted_or_changed_is_restored_in_a_folder_that_was_kept(job: Job, path: str) -> None:
    assert job(machine="kept") == 0
    paths = [name for name in version_content(job, FIRST) if name.startswith(path)]
    assert paths
    damage(job, delete=paths)
    assert job(machine="kept") == 0
    assert is_restored(job)
    damage(job, add=dict.fromkeys(paths, b"something else"))
    assert job(machine="kept") == 0
    assert is_restored(job)
    assert job.versions() == [FIRST]


def test_files_that_somebody_adds_to_the_folders_of_the_dataset_are_removed_and_others_stay(job: Job) -> None:
    damage(job, add={"data/models/mine.parquet": b"PAR1", "notes.txt": b"mine"})
    assert job() == 0
    assert version_content(job, "main") == version_content(job, FIRST) | {"notes.txt": b"mine"}
    assert "has besides data/models/mine.parquet" in job.record["warnings"][0]


def test_an_edited_card_is_no_damage(job: Job) -> None:
    text = version_content(job, "main")["README.md"] + b"\nMy own words.\n"
    damage(job, add={"README.md": text})
    commits = len(job.hub.datasets[REPO].commits)
    assert job() == 0
    assert (job.record["warnings"], len(job.hub.datasets[REPO].commits)) == ([], commits)
    damage(job, delete=[a_layers_file(job)])
    assert job() == 0
    assert version_content(job, "main") == version_content(job, FIRST) | {"README.md": text}


def test_a_night_with_news_restores_first(job: Job, net: Callable[..., None]) -> None:
    path = a_layers_file(job)
    damage(job, delete=[path, "manifest.json"])
    net("new", 10)
    assert job() == 0
    assert (job.record["outcome"], job.record["version"]) == ("published", job.versions()[1])
    assert "lacks" in job.record["warnings"][0]
    assert path in version_content(job, "main")
    assert list(verify_folder(job.published())) == []


def test_a_damaged_catalog_is_rebuilt_before_it_is_asked_what_it_continues(job: Job, net: Callable[..., None]) -> None:
    assert job("--rebuild", machine="kept") == 0
    catalog = job.tmp / "kept/.filtercrawl/catalog.sqlite"
    catalog.write_bytes(catalog.read_bytes()[:100] + b"?" * 20_000)
    net("new", 10)
    with pytest.raises(DatasetError, match="--rebuild"):
        job(machine="kept")
    assert job("--rebuild", machine="kept") == 0
    assert job.record["outcome"] == "published"
    assert list(verify_folder(job.published())) == []


def test_a_dry_run_tells_and_changes_nothing(job: Job) -> None:
    damage(job, delete=[a_layers_file(job)])
    head = job.hub.datasets[REPO].head
    assert job("--dry-run") == 0
    assert f"filtercrawl rollback {REPO} {FIRST}" in " ".join(job.output.split())
    assert job.hub.datasets[REPO].head is head


def test_publishing_from_a_folder_without_the_weights_restores_them(job: Job) -> None:
    assert job("--rebuild", machine="kept") == 0
    damage(job, delete=[a_layers_file(job)])
    result = CliRunner().invoke(build(job.plugins), ["publish", REPO, "--dataset", str(job.tmp / "kept")])
    assert (result.exit_code, "restored" in result.output) == (0, True)
    assert is_restored(job)


def test_a_repository_that_became_something_else_is_left_alone(job: Job) -> None:
    everything = list(version_content(job, "main"))
    damage(job, delete=everything, add={"train.csv": b"a,b\n"})
    head = job.hub.datasets[REPO].head
    with pytest.raises(PolicyError, match="no filtercrawl dataset"):
        job()
    assert job.hub.datasets[REPO].head is head


@pytest.mark.exhaustive
def test_a_repository_that_lost_everything_gets_it_back(job: Job) -> None:
    damage(job, delete=[path for path in version_content(job, "main") if path != ".gitattributes"])
    assert job() == 0
    assert is_restored(job)


def test_the_last_version_may_have_any_name(job: Job, net: Callable[..., None]) -> None:
    net("new", 10)
    assert job() == 0
    tags = job.hub.datasets[REPO].tags
    tags["paper"] = tags.pop(job.versions()[1])  # newer than the version of the day
    damage(job, delete=[a_layers_file(job)])
    assert job() == 0
    assert version_content(job, "main") == version_content(job, "paper")
    assert job.record["base"] == "paper"
