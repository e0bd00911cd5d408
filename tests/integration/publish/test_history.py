"""A repo over its versions: rolled back, withdrawn from, purged, verified and signed; the real clients on loopback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from conftest import NOW, Sync
from filtercrawl.api.errors import FiltercrawlError, UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.config import Settings
from filtercrawl.load import load_layers
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl_publish.publishing import PublishOptions, publish_version
from filtercrawl_publish.repository.open import open_repository
from filtercrawl_publish.repository.signature import sign_manifest, signature_error
from support.hub.server import Asked, Fault, HubServer, Repo, sha256
from support.zoo_files import layers, models, published, put, state, table

pytestmark = pytest.mark.usefixtures("forked_children")

Cli = Callable[..., Any]
REPO = "org/kernels"


def content(hub: HubServer, revision: str = "main") -> dict[str, bytes]:
    commit = hub.datasets[REPO].at(revision)
    assert commit is not None
    return {path: data for path, data in commit.files.items() if path != ".gitattributes"}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(page_size=20) as server:
        yield server


@pytest.fixture
def cli(hub: HubServer, monkeypatch: pytest.MonkeyPatch, plugins: Plugins) -> Cli:
    """Run a command; returns its JSON."""
    for name, value in {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "SOURCE_DATE_EPOCH": "1795410000"}.items():
        monkeypatch.setenv(name, value)
    program = build(plugins)

    def run(*arguments: object, code: int = 0) -> Any:
        done = CliRunner().invoke(program, [*map(str, arguments), "--json"])
        if isinstance(done.exception, FiltercrawlError):
            assert done.exception.exit_code == code, done.exception
            return {"error": str(done.exception)}
        assert done.exit_code == code, (done.exit_code, done.exception, done.stderr[-2000:])
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> tuple[Repo, dict[str, bytes]]:
    """Two versions of a dataset in a repo: the second has one network more, and another one changed."""
    zoo, dataset = (tmp_path_factory.mktemp("grown") / name for name in ("zoo", "dataset"))
    settings = Settings(dataset=dataset, device="cpu", engine="threads")
    with pytest.MonkeyPatch.context() as patch, HubServer(page_size=20) as server:
        patch.setenv("HF_ENDPOINT", server.url)
        place = open_repository(REPO, network())
        for version, seeds in (("v2026.11.22", {"a": 1, "b": 2}), ("v2026.11.23", {"b": 22, "c": 3})):
            for name, seed in seeds.items():
                put(zoo / f"{name}.safetensors", state(seed))
            sync((f"local:{zoo}",), SyncContext(settings=settings, plugins=plugins, now=NOW))
            publish_version(dataset, place, PublishOptions(version=version, now=NOW))
        return server.datasets[REPO], server.blobs


@pytest.fixture
def grown(hub: HubServer, template: tuple[Repo, dict[str, bytes]]) -> None:
    repo, blobs = deepcopy(template)
    hub.datasets[REPO] = repo
    hub.blobs |= blobs
    hub._clock = 100  # commits are named by it


@pytest.mark.usefixtures("grown")
def test_diff_and_changelog_of_versions(hub: HubServer, cli: Cli) -> None:
    hub.forget()
    found = cli("diff", f"{REPO}@v2026.11.22", REPO)
    assert not any("/data/layers/" in asked.path for asked in hub.log)
    assert [row["model_id"] for row in found["models"]["new"]] == ["local/c.safetensors"]
    assert [row["model_id"] for row in found["models"]["changed"]] == ["local/b.safetensors"]
    assert not any(
        "/data/layers/" in asked.path for asked in hub.log if "/resolve/" in asked.path and "v2026" in asked.path
    )
    told = json.loads(content(hub)["changes.json"])
    assert (told["previous"], told["version"]) == ("v2026.11.22", "v2026.11.23")
    assert told["models"] == found["models"]
    text = content(hub)["CHANGES.md"].decode()
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## v2026.11.23", "## v2026.11.22"]
    assert "CHANGES.md" in content(hub)["README.md"].decode()
    for version in ("v2026.11.22", "v2026.11.23"):
        card = content(hub, version)["README.md"].decode()
        assert f"url = {{https://huggingface.co/datasets/{REPO}/tree/{version}}}" in card
        assert f'load_dataset(DIR, "layers", split="train", streaming=True, revision="{version}")' in card


@pytest.mark.usefixtures("grown")
def test_rollback_is_a_new_version(hub: HubServer, cli: Cli) -> None:
    repo = hub.datasets[REPO]
    tags, number = dict(repo.tags), len(repo.commits)
    hub.append(repo, {**repo.head.files, "LICENSE": b"by hand"}, "a file of somebody's own")
    found = cli("rollback", REPO, "v2026.11.22")
    assert (found["what"], found["version"], found["to"]) == ("published", "v2026.11.23.1", "v2026.11.22")
    assert {name: repo.tags[name] for name in tags} == tags
    assert repo.tags["v2026.11.23.1"] == repo.head.sha == found["commit"]
    assert len(repo.commits) == number + 2
    assert content(hub) == content(hub, "v2026.11.22") | {"LICENSE": b"by hand"}
    again = cli("rollback", REPO, "v2026.11.22")
    assert (again["what"], again["version"]) == ("nothing", "v2026.11.23.1")
    assert "no version v2020" in cli("rollback", REPO, "v2020.01.01", code=2)["error"]


@pytest.mark.usefixtures("grown")
def test_rollback_that_was_cut_short(hub: HubServer, cli: Cli) -> None:
    repo = hub.datasets[REPO]
    hub.fail("*/tag/*", *[Fault(status=403)])
    cli("rollback", REPO, "v2026.11.22", code=1)
    assert "v2026.11.23.1" not in repo.tags
    assert content(hub) == content(hub, "v2026.11.22")
    number = len(repo.commits)
    found = cli("rollback", REPO, "v2026.11.22")
    assert (found["what"], found["version"]) == ("finished", "v2026.11.23.1")
    assert repo.tags["v2026.11.23.1"] == repo.head.sha
    assert len(repo.commits) == number


@pytest.mark.usefixtures("grown")
def test_a_named_rollback_that_was_cut_short_is_completed_and_not_refused(hub: HubServer, cli: Cli) -> None:
    repo = hub.datasets[REPO]
    hub.fail("*/tag/*", *[Fault(status=403)])
    cli("rollback", REPO, "v2026.11.22", "--version", "good", code=1)
    assert "good" not in repo.tags
    found = cli("rollback", REPO, "v2026.11.22", "--version", "good")
    assert (found["what"], found["version"]) == ("finished", "good")
    assert repo.tags["good"] == repo.head.sha
    again = cli("rollback", REPO, "v2026.11.22", "--version", "good")
    assert (again["what"], again["version"]) == ("nothing", "good")
    taken = cli("rollback", REPO, "good", "--version", "v2026.11.22", code=2)
    assert "v2026.11.22" in taken["error"]


@pytest.mark.exhaustive
def test_rollback_of_a_folder(zoo: Path, dataset: Path, run_sync: Sync, cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "published"
    put(zoo / "a.safetensors", state(1))
    run_sync()
    cli("publish", place, "--dataset", dataset, "--version", "v1")
    first = published(place)
    put(zoo / "b.safetensors", state(2))
    run_sync()
    cli("publish", place, "--dataset", dataset, "--version", "v2")
    found = cli("rollback", place, "v1", "--version", "v3")
    assert (found["what"], found["version"]) == ("published", "v3")
    assert published(place.resolve()) == first
    assert cli("verify", f"{place}@v2")["sound"]


@pytest.mark.usefixtures("grown")
def test_a_version_that_does_not_load_is_no_way_back(hub: HubServer, cli: Cli) -> None:
    repo = hub.datasets[REPO]
    bad = repo.at("v2026.11.22")
    assert bad is not None
    bad.files = {path: data for path, data in bad.files.items() if path != "data/index/part.parquet"}
    before = content(hub), dict(repo.tags)
    cli("rollback", REPO, "v2026.11.22", code=1)
    assert (content(hub), repo.tags) == before


def tamper(hub: HubServer, path: str, data: bytes) -> None:
    hub.datasets[REPO].head.files[path] = data
    hub.blobs[sha256(data)] = data


@pytest.mark.usefixtures("grown")
def test_verify_of_a_repo(hub: HubServer, cli: Cli) -> None:
    hub.forget()
    assert cli("verify", f"{REPO}@v2026.11.22", "--no-load") == {
        "dataset": f"{REPO}@v2026.11.22", "sound": True, "findings": [],
    }  # fmt: skip
    assert not any("/data/layers/" in asked.path for asked in hub.log)
    assert cli("verify", REPO)["sound"]
    assert cli("verify", REPO, "--weights", "--no-load")["sound"]
    commit = hub.datasets[REPO].head
    path = next(path for path in commit.files if path.startswith("data/layers/"))
    tamper(hub, path, commit.files[path][:-1] + b"?")
    (finding,) = cli("verify", REPO, "--no-load", code=1)["findings"]
    assert finding["where"] == path
    del commit.files[path]
    tamper(hub, "data/stray.parquet", b"?")
    found = {finding["where"] for finding in cli("verify", REPO, "--no-load", code=1)["findings"]}
    assert found == {path, "data/stray.parquet"}


@pytest.mark.usefixtures("grown")
def test_budgets_of_runs_limit_no_command_on_versions(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FILTERCRAWL_MAX_REQUESTS", "1")
    monkeypatch.setenv("FILTERCRAWL_MAX_BYTES", "1")
    assert cli("rollback", REPO, "v2026.11.22")["what"] == "published"
    assert cli("verify", REPO)["sound"]


@pytest.mark.usefixtures("grown")
def test_a_weight_that_only_reading_finds(hub: HubServer, cli: Cli, tmp_path: Path) -> None:
    commit = hub.datasets[REPO].head
    path = next(path for path in commit.files if path.startswith("data/layers/"))
    rows = pq.read_table(pa.BufferReader(commit.files[path])).to_pylist()
    rows[0]["weight"][0] += 1
    with pq.ParquetFile(pa.BufferReader(commit.files[path])) as file:
        schema, groups = file.schema_arrow, [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    with pq.ParquetWriter(tmp_path / "x", schema) as writer:
        for start, size in zip([0, *groups], groups, strict=False):
            writer.write_table(pa.Table.from_pylist(rows[start : start + size], schema=schema))
    tamper(hub, path, (tmp_path / "x").read_bytes())
    listed = pq.read_table(pa.BufferReader(commit.files["data/files/part.parquet"]))
    facts = {"size": len(commit.files[path]), "sha256": sha256(commit.files[path])}
    lines = [row | facts if row["path"] == path else row for row in listed.to_pylist()]
    pq.write_table(pa.Table.from_pylist(lines, schema=listed.schema), tmp_path / "y")
    tamper(hub, "data/files/part.parquet", (tmp_path / "y").read_bytes())
    where = {finding["where"] for finding in cli("verify", REPO, "--no-load", code=1)["findings"]}
    assert not any(place.startswith(path) for place in where)
    closer = cli("verify", REPO, "--no-load", "--weights", code=1)["findings"]
    assert any(finding["where"].startswith(path) and "weight_sha256" in finding["what"] for finding in closer)


@pytest.mark.usefixtures("grown")
def test_withdrawn_from_a_repo(hub: HubServer, cli: Cli, dataset: Path) -> None:
    tags = dict(hub.datasets[REPO].tags)
    picture = content(hub)["figures/kernels.png"]
    assert "b.safetensors, " in content(hub)["README.md"].decode()
    found = cli("withdraw", REPO, "local/b.safetensors", "--reason", "the author asked")
    assert content(hub)["figures/kernels.png"] != picture
    assert "b.safetensors, " not in content(hub)["README.md"].decode()
    assert (found["withdrawn"], found["version"]) == (["local/b.safetensors"], "v2026.11.23.1")
    assert {name: hub.datasets[REPO].tags[name] for name in tags} == tags
    target = unpacked(hub, dataset.parent / "out")
    assert {layer_id.partition("#")[0] for layer_id in layers(target)} == {"local/a.safetensors", "local/c.safetensors"}
    assert models(target)["local/b.safetensors"]["outcome"] == "withdrawn"
    assert [row["reason"] for row in table(target, "withdrawn")] == ["the author asked"]
    told = json.loads(content(hub)["changes.json"])["models"]
    assert [row["reason"] for row in told["gone"]] == ["the author asked"]
    assert cli("verify", REPO)["sound"]
    error = cli("withdraw", REPO, "local/a.safetensor", "--reason", "x", code=2)["error"]
    assert error.startswith(f"{REPO}: no checkpoint 'local/a.safetensor'; did you mean local/a.safetensors")


@pytest.mark.usefixtures("grown")
def test_what_is_withdrawn_is_taken_from_the_version_that_a_killed_run_has_not_tagged(
    hub: HubServer, cli: Cli, tmp_path: Path
) -> None:
    del hub.datasets[REPO].tags["v2026.11.23"]
    found = cli("withdraw", REPO, "local/a.safetensors", "--reason", "the author asked")
    assert "v2026.11.23" in hub.datasets[REPO].tags
    assert found["version"] == "v2026.11.23.1"
    target = unpacked(hub, tmp_path / "out")
    assert {layer_id.partition("#")[0] for layer_id in layers(target)} == {"local/b.safetensors", "local/c.safetensors"}


def test_what_was_withdrawn_from_a_repo_is_not_published_again(
    zoo: Path, dataset: Path, run_sync: Sync, hub: HubServer, cli: Cli
) -> None:
    for number, name in enumerate("ab"):
        put(zoo / f"{name}.safetensors", state(number))
    run_sync()
    cli("publish", REPO, "--dataset", dataset, "--version", "v1")
    withdrawal = ("local/b.safetensors", "--reason", "the author asked")
    cli("withdraw", REPO, *withdrawal)
    tags = dict(hub.datasets[REPO].tags)
    for refused in (("publish", REPO, "--dataset", dataset), ("rollback", REPO, "v1")):
        error = cli(*refused, code=4)["error"]
        assert "has withdrawn 1 checkpoint of what is to be published (local/b.safetensors)" in error
    assert hub.datasets[REPO].tags == tags
    cli("withdraw", "--dataset", dataset, *withdrawal)
    assert cli("publish", REPO, "--dataset", dataset)["what"] in ("published", "nothing")


def test_what_was_published_from_elsewhere_is_not_dropped(
    zoo: Path, dataset: Path, run_sync: Sync, hub: HubServer, cli: Cli, tmp_path: Path
) -> None:
    for number, name in enumerate("ab"):
        put(zoo / f"{name}.safetensors", state(number))
    run_sync()
    cli("publish", REPO, "--dataset", dataset, "--version", "v1")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(dataset, elsewhere)
    put(zoo / "b.safetensors", state(7))
    put(zoo / "c.safetensors", state(8))
    cli("sync", f"local:{zoo}", "--dataset", elsewhere)
    cli("publish", REPO, "--dataset", elsewhere, "--version", "v2")
    tags = dict(hub.datasets[REPO].tags)
    for option in ((), ("--dry-run",)):
        error = cli("publish", REPO, "--dataset", dataset, *option, code=4)["error"]
        assert "2 checkpoints" in error
        assert "(local/b.safetensors, local/c.safetensors)" in error
    assert hub.datasets[REPO].tags == tags
    # Its own removals and changes are its own business, and so is what it has read as well.
    cli("sync", f"local:{zoo}", "--dataset", dataset)
    (zoo / "a.safetensors").unlink()
    cli("sync", f"local:{zoo}", "--prune", "--dataset", dataset)
    assert cli("publish", REPO, "--dataset", dataset)["what"] == "published"
    # The other folder is behind in its turn, and may replace.
    put(zoo / "a.safetensors", state(9))
    put(zoo / "d.safetensors", state(10))
    cli("sync", f"local:{zoo}", "--dataset", dataset)
    cli("publish", REPO, "--dataset", dataset)
    assert "2 checkpoints" in cli("publish", REPO, "--dataset", elsewhere, code=4)["error"]
    assert cli("publish", REPO, "--dataset", elsewhere, "--replace")["what"] == "published"


@pytest.mark.exhaustive
def test_purged_from_a_repo(zoo: Path, dataset: Path, run_sync: Sync, hub: HubServer, cli: Cli) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    cli("publish", REPO, "--dataset", dataset, "--version", "v1")
    for version, seed in (("v2", 2), ("v3", 22)):
        put(zoo / "b.safetensors", state(seed))
        if version == "v3":
            shutil.copy(zoo / "b.safetensors", zoo / "twin.safetensors")
        run_sync()
        cli("publish", REPO, "--dataset", dataset, "--version", version)
    repo = hub.datasets[REPO]
    files = {row["layers_file"] for name in ("v2", "v3") for row in models_at(repo, name) if "/b." in row["model_id"]}
    first, *later = (content(hub, version) for version in ("v1", "v2", "v3"))
    derived = {
        path: data
        for files_then in later
        for path, data in files_then.items()
        if path.startswith(("data/samples/", "figures/kernels")) and first.get(path) != data
    }
    kernels = {sha256(data) for data in derived.values()}
    hub.fail("*/lfs-files*", Fault(status=403))  # cut short behind the new version
    arguments = ("withdraw", REPO, "local/b.safetensors", "--reason", "the author asked", "--purge")
    cli(*arguments, code=1)
    found = cli(*arguments)
    assert set(repo.tags) == {"v1", "v2026.11.23"}
    assert files <= set(found["deleted_files"])
    left = {path for commit in repo.commits for path in commit.files}
    assert not files & left
    assert not kernels & {sha256(data) for commit in repo.commits for data in commit.files.values()}
    assert not {*kernels} & hub.blobs.keys()
    target = unpacked(hub, dataset.parent / "out")
    assert {layer_id.partition("#")[0] for layer_id in layers(target)} == {
        "local/a.safetensors",
        "local/twin.safetensors",
    }
    for version in ("v1", "v2026.11.23"):
        assert cli("verify", f"{REPO}@{version}", "--weights")["sound"]
    assert cli(*arguments)["deleted_files"] == []


@pytest.mark.usefixtures("grown")
@pytest.mark.parametrize("when", ["before", "planned"])
def test_no_version_is_deleted_before_it_is_known_that_files_can_be(hub: HubServer, cli: Cli, when: str) -> None:
    """The list of large files is asked for twice before: when nothing is done, and once the version is published."""
    purge = ("withdraw", REPO, "local/c.safetensors", "--reason", "asked", "--purge")
    before = dict(hub.datasets[REPO].tags)
    asked = 0

    def refuse(number: int, request: Asked, moment: str) -> Fault | None:
        nonlocal asked
        asked += request.path.endswith("/lfs-files") and moment == "asked"
        return Fault(status=403) if request.path.endswith("/lfs-files") and asked > (when == "planned") else None

    hub.watch = refuse
    assert "403" in cli(*purge, code=1)["error"]
    tags = hub.datasets[REPO].tags
    assert tags.items() >= before.items()
    assert len(tags) == (2 if when == "before" else 3)
    hub.watch = lambda number, request, moment: None
    found = cli(*purge)
    assert (found["deleted_versions"], set(tags)) == (["v2026.11.23"], {"v2026.11.22", "v2026.11.23.1"})


@pytest.mark.usefixtures("grown")
def test_a_lost_response_to_a_deletion_is_no_failure(hub: HubServer, cli: Cli) -> None:
    hub.fail("*/tag/v2026.11.23", Fault(line="after"))
    hub.fail("*/lfs-files/batch", Fault(line="after"))
    found = cli("withdraw", REPO, "local/c.safetensors", "--reason", "asked", "--purge")
    assert found["deleted_versions"] == ["v2026.11.23"]
    assert [path for path in found["deleted_files"] if "local/" in path]


def test_a_folder_is_not_purged_and_nothing_is_withdrawn(tmp_path: Path, zoo: Path, run_sync: Sync, cli: Cli) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    dataset = tmp_path / "dataset"
    run_sync(dataset=dataset)
    place = tmp_path / "place"
    cli("publish", place, "--dataset", dataset, "--version", "v1")
    error = cli("withdraw", place, "local/b.safetensors", "--reason", "asked", "--purge", code=4)["error"]
    assert "cannot be purged" in error
    assert open_repository(str(place), network()).tags().keys() == {"v1"}


def with_norm(seed: int) -> dict[str, torch.Tensor]:
    """A network whose effective weight differs from the stored one, by the batch normalization that has its name."""
    torch.manual_seed(seed)
    return torch.nn.ModuleDict({"conv1": torch.nn.Conv2d(3, 8, 3), "bn1": torch.nn.BatchNorm2d(8)}).state_dict()


def effective_models(files: dict[str, bytes]) -> set[str]:
    found = [data for path, data in files.items() if path.startswith("data/effective") and path.endswith(".parquet")]
    return {row["model_id"] for data in found for row in pq.read_table(pa.BufferReader(data)).to_pylist()}


@pytest.mark.parametrize("purge", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_effective_weights_go_with_what_is_withdrawn(
    zoo: Path, dataset: Path, run_sync: Sync, hub: HubServer, cli: Cli, purge: bool
) -> None:
    for number, name in enumerate("ab"):
        put(zoo / f"{name}.safetensors", with_norm(number))
    run_sync()
    cli("publish", REPO, "--dataset", dataset, "--version", "v1")
    assert effective_models(content(hub)) == {"local/a.safetensors", "local/b.safetensors"}
    cli("withdraw", REPO, "local/b.safetensors", "--reason", "asked", *(["--purge"] if purge else []))
    assert effective_models(content(hub)) == {"local/a.safetensors"}
    left = [commit.files for commit in hub.datasets[REPO].commits] if purge else [content(hub)]
    assert not any("local/b.safetensors" in effective_models(files) for files in left)
    target = unpacked(hub, dataset.parent / "out")
    found = load_layers(target, view="effective")
    assert found["layer_id"].to_pylist() == ["local/a.safetensors#conv1.weight"]
    assert found["effective_steps"].to_pylist() == [["batch_norm"]]
    assert cli("verify", REPO)["sound"]


def models_at(repo: Any, version: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        pa.BufferReader(repo.at(version).files["data/models/part.parquet"])
    ).to_pylist()
    return rows


def unpacked(hub: HubServer, folder: Path) -> Path:
    for path, data in content(hub).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.fixture(params=["pem", "openssh"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    key = Ed25519PrivateKey.generate()
    ssh = request.param == "openssh"
    private, public = tmp_path / "key", tmp_path / "key.pub"
    kind = serialization.PrivateFormat.OpenSSH if ssh else serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        if ssh
        else key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_a_signature_is_of_one_key_and_one_manifest(
    keys: tuple[Path, Path], dataset: Path, zoo: Path, run_sync: Sync
) -> None:
    private, public = keys
    put(zoo / "a.safetensors", state(1))
    run_sync()
    assert "no signature" in str(signature_error(dataset, public))
    sign_manifest(dataset, private)
    assert signature_error(dataset, public) is None
    signature = (dataset / "manifest.json.sig").read_bytes()
    sign_manifest(dataset, private)
    assert (dataset / "manifest.json.sig").read_bytes() == signature
    for wrong in (b"", b"?", signature[:-9], signature.replace(signature[:2], b"zz")):
        (dataset / "manifest.json.sig").write_bytes(wrong)
        assert signature_error(dataset, public) is not None
    (dataset / "manifest.json.sig").write_bytes(signature)
    (dataset / "manifest.json").write_bytes((dataset / "manifest.json").read_bytes() + b" ")
    assert "does not match this" in str(signature_error(dataset, public))
    sign_manifest(dataset, None)
    assert not (dataset / "manifest.json.sig").exists()
    with pytest.raises(UsageError, match="no private key"):
        sign_manifest(dataset, public)
    with pytest.raises(UsageError, match="no public key"):
        signature_error(dataset, private)


@pytest.mark.exhaustive
def test_signed_versions(
    keys: tuple[Path, Path], hub: HubServer, cli: Cli, dataset: Path, zoo: Path, run_sync: Sync
) -> None:
    private, public = keys
    put(zoo / "a.safetensors", state(1))
    run_sync()
    cli("publish", REPO, "--dataset", dataset, "--sign-key", private, "--version", "v1")
    assert cli("verify", REPO, "--public-key", public, "--no-load")["sound"]
    put(zoo / "b.safetensors", state(2))
    run_sync()
    cli("publish", REPO, "--dataset", dataset, "--version", "v2")
    assert "manifest.json.sig" not in content(hub)
    (finding,) = cli("verify", REPO, "--public-key", public, "--no-load", code=1)["findings"]
    assert finding["where"] == "manifest.json.sig"
    cli("rollback", REPO, "v1", "--version", "v3")
    assert cli("verify", f"{REPO}@v3", "--public-key", public, "--no-load")["sound"]
    assert private.read_bytes() not in b"".join(content(hub).values())
