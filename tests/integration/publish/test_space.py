"""The Space beside a dataset: the real client against a Hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub.utils import _http
from typer.testing import CliRunner

from conftest import Sync
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy
from filtercrawl_analysis.explorer.page import page_files
from filtercrawl_publish.publishing.options import PublishOptions, SpaceResult
from filtercrawl_publish.publishing.space import choose_space, known_space, update_space
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.open import open_repository
from support.hub.server import Fault, HubServer, sha256
from support.hub.types import Repo
from support.zoo_files import put, state

pytestmark = pytest.mark.usefixtures("forked_children")

REPO = "org/kernels"
SIZES = {"data/index/part.parquet": 700, "data/samples/part.parquet": 800, "data/layers/a.parquet": 900}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        # The Hub's client waits a second before it tries again.
        monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda _: None))
        yield server


@pytest.fixture
def commit(hub: HubServer) -> str:
    """A dataset repository with one version, of which the list of files is enough here."""
    repo = hub.datasets[REPO] = Repo(id=REPO, commits=[])
    return add_version(hub, repo, "v1")


def add_version(hub: HubServer, repo: Repo, tag: str, added: int = 0) -> str:
    listed = pa.BufferOutputStream()
    sizes = {path: size + added for path, size in SIZES.items()}
    pq.write_table(pa.table({"path": list(sizes), "size": list(sizes.values())}), listed)
    data = listed.getvalue().to_pybytes()
    sha = hub.append(repo, {"data/files.parquet": data}, f"Release {tag}")
    hub.blobs[sha256(data)] = data
    repo.tags[tag] = sha
    return sha


def opened(name: str = REPO) -> Repository:
    return open_repository(name, network(options=TransportOptions(retry=RetryPolicy(base_delay=0.01))))


def updated(commit: str | None, space: str = "auto", version: str | None = "v1", **options: bool) -> SpaceResult:
    result = update_space(opened(), PublishOptions(space=space, **options), version, commit)
    assert result is not None
    return result


def space_files(hub: HubServer, space: str = REPO) -> dict[str, bytes]:
    return hub.spaces[space].head.files


def methods(hub: HubServer) -> set[str]:
    return {asked.method for asked in hub.log}


def test_a_space_is_created_and_shows_the_version(hub: HubServer, commit: str) -> None:
    result = updated(commit)
    assert (result.id, result.outcome, result.problem) == (REPO, "updated", None)
    assert result.url == f"{hub.url}/spaces/{REPO}"
    repo = hub.spaces[REPO]
    assert [c.title for c in repo.commits] == ["initial commit", "Show v1"]
    files = space_files(hub)
    assert set(page_files()) <= set(files)
    config = json.loads(files["config.json"])
    assert config["location"] == f"{REPO}@{commit}"
    assert config["base"] == f"{hub.url}/datasets/{REPO}/resolve/{commit}/"
    assert config["files"] == {"data/index/part.parquet": 700, "data/samples/part.parquet": 800}
    card = yaml.safe_load(files["README.md"].decode().split("---")[1])
    assert (card["sdk"], card["app_file"], card["datasets"]) == ("static", "index.html", [REPO])


def test_nothing_is_sent_where_all_files_are_there(hub: HubServer, commit: str) -> None:
    updated(commit)
    hub.forget()
    assert updated(commit) == SpaceResult(id=REPO, outcome="unchanged")
    assert methods(hub) == {"GET"}
    assert len(hub.spaces[REPO].commits) == 2


def test_the_next_version_changes_what_differs_only(hub: HubServer, commit: str) -> None:
    updated(commit)
    second = add_version(hub, hub.datasets[REPO], "v2", added=1)
    result = updated(second, version="v2")
    assert (result.outcome, result.files) == ("updated", 1)
    assert hub.spaces[REPO].head.title == "Show v2"
    assert json.loads(space_files(hub)["config.json"])["files"]["data/index/part.parquet"] == 701


def test_files_of_an_older_page_go_and_those_of_the_owner_stay(hub: HubServer, commit: str) -> None:
    updated(commit)
    others = {"js/views/old.js": b"old", "LICENSE": b"mine", "README.md": b"---\nsdk: static\n---\nmine\n"}
    hub.append(hub.spaces[REPO], {**space_files(hub), **others}, "by hand")
    result = updated(commit)
    assert (result.outcome, result.files) == ("updated", 1)
    assert "js/views/old.js" not in space_files(hub)
    assert space_files(hub)["LICENSE"] == b"mine"
    assert space_files(hub)["README.md"] == others["README.md"]


def test_a_dry_run_counts_and_sends_nothing(hub: HubServer, commit: str) -> None:
    planned = updated(commit, "org/view", dry_run=True)
    assert (planned.id, planned.outcome) == ("org/view", "planned")
    assert planned.files == len(page_files()) + 2  # config.json and README.md
    assert updated(None, "org/view", None, dry_run=True) == planned
    assert methods(hub) == {"GET"}
    assert hub.spaces == {}
    updated(commit, "org/view")
    assert updated(commit, "org/view", dry_run=True).outcome == "unchanged"
    assert updated(None, "org/view", None, dry_run=True).files == 1


@pytest.mark.parametrize("path", ["/api/repos/create", "/api/spaces/*/commit/*", "/api/spaces/*/refs"])
def test_a_refusal_is_told_with_what_to_do_and_mended_next_time(hub: HubServer, commit: str, path: str) -> None:
    hub.fail(path, Fault(status=403))
    result = updated(commit)
    assert result.outcome == "failed"
    assert result.problem is not None
    assert "\n" not in result.problem
    assert "HTTP 403" in result.problem
    assert f"`filtercrawl explore --dataset hub:{REPO}@v1 --out DIR`" in result.problem
    assert f"`hf upload {REPO} DIR --repo-type space`" in result.problem
    assert updated(commit).outcome == "updated"
    assert json.loads(space_files(hub)["config.json"])["name"] == REPO


def test_a_lost_response_of_a_commit_that_was_made(hub: HubServer, commit: str) -> None:
    hub.fail("/api/spaces/*/commit/*", Fault(line="after"))
    assert updated(commit).outcome == "updated"
    assert [c.title for c in hub.spaces[REPO].commits] == ["initial commit", "Show v1"]


@pytest.mark.parametrize("config", [None, b"{", b"[]", b'{"name": "org/other"}'])
def test_a_space_of_something_else_is_kept(hub: HubServer, commit: str, config: bytes | None) -> None:
    files = {"app.py": b"print()", **({"config.json": config} if config is not None else {})}
    repo = hub.spaces[REPO] = Repo(id=REPO, commits=[])
    hub.append(repo, files, "an app")
    result = updated(commit)
    assert result.outcome == "failed"
    assert result.problem is not None
    assert "holds something else" in result.problem
    assert space_files(hub) == files
    planned = updated(None, version=None, dry_run=True)
    assert planned.problem is not None
    assert planned.problem.startswith("the Space could not be updated: ")
    assert updated(commit, replace=True).outcome == "updated"
    assert space_files(hub)["app.py"] == b"print()"
    assert updated(commit).outcome == "unchanged"


def test_no_space_for_a_private_or_gated_dataset(hub: HubServer, commit: str) -> None:
    hub.datasets[REPO].gated = "auto"
    result = updated(commit)
    assert result.outcome == "failed"
    assert result.problem is not None
    assert "private or gated" in result.problem
    assert hub.spaces == {}


@pytest.mark.parametrize("name", ["kernels", "org/kernels@main", "org/a--b", "org/kernels.git", "a/b/c", "Auto", ""])
def test_names_that_are_no_space(name: str) -> None:
    with pytest.raises(UsageError, match="is not a Space"):
        choose_space(opened(), name)


def test_a_folder_has_no_space(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="on the Hub"):
        choose_space(opened(str(tmp_path)), "auto")
    assert choose_space(opened(str(tmp_path)), None) is None


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        (b'{"space": "org/view"}', "org/view"),
        (b'{"space": null}', None),
        (b'{"space": "../view"}', None),
        (b'{"space": ["org/view"]}', None),
        (b"[]", None),
        (b"{", None),
        (None, None),
    ],
)
def test_the_space_of_the_last_version_is_known(hub: HubServer, commit: str, changes: bytes | None, known: str) -> None:
    if changes is not None:
        hub.append(hub.datasets[REPO], {**hub.datasets[REPO].head.files, "changes.json": changes}, "Release v2")
    assert known_space(opened(), None) == known
    assert known_space(opened(), "auto") == "auto"


@pytest.mark.parametrize("restored", [b'{"version": "v1", "space": null}', b'{"version": "v1", "space": "org/old"}'])
def test_after_a_rollback_the_space_is_that_of_the_version_before(hub: HubServer, commit: str, restored: bytes) -> None:
    repo = hub.datasets[REPO]
    own = b'{"version": "v2", "space": "org/view"}'
    for version, changes in (("v1", restored), ("v2", own), ("v3", restored), ("v4", restored)):
        repo.tags[version] = hub.append(repo, {**repo.head.files, "changes.json": changes}, f"Release {version}")
    assert known_space(opened(), None) == "org/view"


def test_a_folder_and_a_repository_without_versions_have_no_known_space(hub: HubServer, tmp_path: Path) -> None:
    assert known_space(opened(), None) is None
    assert known_space(opened(str(tmp_path)), None) is None
    assert known_space(opened(str(tmp_path)), "auto") is None


def run(plugins: Plugins, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run a command; returns its JSON and what it wrote to stderr."""
    found = CliRunner().invoke(build(plugins), [*arguments, "--json"])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0
    return json.loads(found.stdout), found.stderr


def test_publish_with_a_space(
    hub: HubServer, plugins: Plugins, run_sync: Sync, dataset: Path, zoo: Path, tmp_path: Path
) -> None:
    def publish(*arguments: str, repo: str = REPO) -> tuple[dict[str, Any], str]:
        return run(plugins, "publish", repo, "--dataset", str(dataset), *arguments)

    put(zoo / "a.safetensors", state(1))
    run_sync()
    with pytest.raises(UsageError, match="on the Hub"):
        publish("--space", "auto", repo=str(tmp_path / "folder"))
    planned, _ = publish("--space", "auto", "--dry-run")
    assert planned["space"] == {
        "id": REPO, "what": "planned", "url": f"{hub.url}/spaces/{REPO}", "files": len(page_files()) + 2,
        "problem": None,
    }  # fmt: skip
    assert (hub.datasets, hub.spaces) == ({}, {})

    # The Space fails after the version has its tag; that it does is no error.
    hub.fail("/api/spaces/*/commit/*", Fault(status=403))
    first, messages = publish("--version", "v1", "--space", "auto")
    assert first["what"] == "published"
    assert first["space"]["what"] == "failed"
    assert first["warnings"] == [first["space"]["problem"]]
    assert f"warning: {first['space']['problem']}" in " ".join(messages.split())
    assert hub.datasets[REPO].tags == {"v1": first["commit"]}
    card = hub.datasets[REPO].head.files["README.md"].decode()
    assert f"[the explorer](https://huggingface.co/spaces/{REPO})" in card

    # Nothing is new in the dataset, and the Space is made up for.
    again, _ = publish("--space", "auto")
    assert (again["what"], again["warnings"]) == ("nothing", [])
    assert again["space"]["what"] == "updated"
    config = json.loads(space_files(hub)["config.json"])
    assert config["location"] == f"{REPO}@{first['commit']}"
    there = hub.datasets[REPO].head.files
    assert config["files"] == {path: len(there[path]) for path in config["files"]}
    assert "data/index/part.parquet" in config["files"]
    without, _ = publish()
    assert without["space"] is None


@pytest.mark.exhaustive
def test_the_space_follows_a_rollback_and_a_withdrawal(
    hub: HubServer, plugins: Plugins, run_sync: Sync, dataset: Path, zoo: Path
) -> None:
    """Of `--space` of the last version too, which is in no settings."""

    def shown() -> str:
        return str(json.loads(space_files(hub)["config.json"])["location"]).removeprefix(f"{REPO}@")

    for version, seed in (("v1", 1), ("v2", 2)):
        put(zoo / f"{version}.safetensors", state(seed))
        run_sync()
        run(plugins, "publish", REPO, "--dataset", str(dataset), "--version", version, "--space", "auto")
    repo = hub.datasets[REPO]
    assert shown() == repo.tags["v2"]
    back, _ = run(plugins, "rollback", REPO, "v1", "--version", "v3")
    assert (back["space"]["what"], shown()) == ("updated", repo.tags["v3"])
    assert repo.head.sha == repo.tags["v3"]

    run(plugins, "rollback", REPO, "v2", "--version", "v4")
    hub.fail("/api/spaces/*/commit/*", Fault(status=403))
    withdraw = ("withdraw", REPO, "local/v2.safetensors", "--reason", "a request")
    gone, messages = run(plugins, *withdraw)
    assert gone["space"]["what"] == "failed"
    assert "warning: the Space was not updated" in " ".join(messages.split())
    assert repo.head.sha == gone["commit"] != shown()
    purged, _ = run(plugins, *withdraw, "--purge")
    assert purged["deleted_versions"] == ["v2", "v4"]
    assert (purged["space"]["what"], shown()) == ("unchanged", repo.head.sha)
    card = repo.head.files["README.md"].decode()
    assert f"[the explorer](https://huggingface.co/spaces/{REPO})" in card
