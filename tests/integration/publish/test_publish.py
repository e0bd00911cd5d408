"""Publishing to a Hub on loopback, with the real clients: what a version holds, what is sent, what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import filtercrawl_publish
from conftest import NOW, Sync
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.manifest import ABOUT_RUNS
from support.hub.server import Fault, HubServer, sha256
from support.publishers import REPO, Publishers, content, publishers, sound
from support.zoo_files import models, published, put, state

pytestmark = [pytest.mark.exhaustive, pytest.mark.usefixtures("forked_children")]


@pytest.fixture(scope="module")
def children() -> Iterator[Publishers]:
    with publishers() as found:
        yield found


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(page_size=20) as server:
        yield server


@pytest.fixture
def net(zoo: Path) -> Path:
    put(zoo / "b.safetensors", state(2))
    return put(zoo / "a.safetensors", state(1))


def loaded(hub: HubServer, revision: str) -> set[str]:
    """The networks whose weights a reader gets who names a revision, streaming and not."""
    script = f"""
import datasets
datasets.config.USE_PARQUET_EXPORT = False
found = [
    {{row["model_id"].partition("/")[2] for row in datasets.load_dataset("{REPO}", "layers", split="train",
      revision="{revision}", streaming=streaming)}}
    for streaming in (True, False)
]
assert found[0] == found[1], found
print(*found[0])
"""
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def files(dataset: Path) -> dict[str, bytes]:
    return {path: (dataset / path).read_bytes() for path in published(dataset)}


def test_versions_one_after_the_other(
    hub: HubServer, children: Publishers, run_sync: Sync, dataset: Path, zoo: Path, net: Path
) -> None:
    run_sync()
    first = children.publish(dataset, hub)
    assert first is not None
    assert (first.get("what"), first.get("version")) == ("published", "v2026.11.23"), first
    repo = hub.datasets[REPO]
    assert repo.tags == {"v2026.11.23": repo.head.sha}
    assert first["commit"] == repo.head.sha
    assert content(hub) == files(dataset)
    assert {row["first_release"] for row in models(dataset).values()} == {"v2026.11.23"}
    assert sound(repo)

    # Nothing new: also after another look at the same zoo.
    run_sync(now=NOW + timedelta(days=1))
    hub.forget()
    again = children.publish(dataset, hub)
    assert again is not None
    assert (again["what"], again["version"], again["commit"]) == ("nothing", "v2026.11.23", first["commit"])
    assert {asked.method for asked in hub.log} <= {"GET", "HEAD"}
    assert len(repo.commits) == 2

    # A network more, one changed, one gone.
    put(zoo / "c.safetensors", state(3))
    put(net, state(4))
    (zoo / "b.safetensors").unlink()
    run_sync(prune=True, now=NOW + timedelta(days=2))
    hub.forget()
    second = children.publish(dataset, hub)
    assert second is not None
    assert (second.get("what"), second.get("version")) == ("published", "v2026.11.23.1"), second
    assert content(hub) == files(dataset)
    assert content(hub, "v2026.11.23") != content(hub)
    assert sound(repo)
    assert loaded(hub, "v2026.11.23") == {"b.safetensors", "a.safetensors"}
    assert loaded(hub, "v2026.11.23.1") == loaded(hub, "main") == {"a.safetensors", "c.safetensors"}
    assert len(repo.commits) == 3
    released = {row["name"]: row["first_release"] for row in models(dataset).values() if row["outcome"] == "emitted"}
    assert released == {"a.safetensors": "v2026.11.23", "c.safetensors": "v2026.11.23.1"}
    sent = [json.loads(asked.body)["files"] for asked in hub.log if "/preupload/" in asked.path]
    changed = {path for path, data in content(hub).items() if content(hub, "v2026.11.23").get(path) != data}
    assert {item["path"] for request in sent for item in request} == changed | {"data/runs.parquet"}


def test_a_commit_without_a_tag_is_finished(
    hub: HubServer, children: Publishers, run_sync: Sync, dataset: Path, zoo: Path, net: Path
) -> None:
    run_sync()
    hub.fail("*/tag/*", *[Fault(status=403)])
    refused = children.publish(dataset, hub)
    assert refused is not None
    assert refused["error"] == "AccessDeniedError"
    assert hub.datasets[REPO].tags == {}
    before = content(hub)
    put(zoo / "c.safetensors", state(3))
    run_sync()
    later = children.publish(dataset, hub, when="2026-11-24T05:00:00+00:00")
    assert later is not None
    assert later.get("version") == "v2026.11.24", later
    assert set(hub.datasets[REPO].tags) == {"v2026.11.23", "v2026.11.24"}
    assert content(hub, "v2026.11.23") == before
    assert sound(hub.datasets[REPO])


def test_a_concurrent_publisher_is_told(
    hub: HubServer, children: Publishers, run_sync: Sync, dataset: Path, net: Path
) -> None:
    run_sync()

    def meanwhile(number: int, asked: Any, when: str) -> Fault | None:
        if "/commit/" in asked.path and when == "asked" and len(hub.datasets[REPO].commits) == 1:
            hub.append(hub.datasets[REPO], {"data/other.txt": b"theirs"}, "Somebody else")
        return None

    hub.watch = meanwhile
    refused = children.publish(dataset, hub)
    assert refused is not None
    assert refused["error"] == "ConflictError"
    assert "another version was published meanwhile" in refused["text"]
    assert hub.datasets[REPO].tags == {}
    foreign = children.publish(dataset, hub)
    assert foreign is not None
    assert foreign["error"] == "PolicyError", foreign
    done = children.publish(dataset, hub, replace=True)
    assert done is not None
    assert done.get("what") == "published", done
    assert content(hub) == files(dataset)


def test_a_card_edited_in_the_repo_keeps_the_edit(
    hub: HubServer, children: Publishers, run_sync: Sync, dataset: Path, zoo: Path, net: Path
) -> None:
    run_sync()
    first = children.publish(dataset, hub)
    assert first is not None
    repo = hub.datasets[REPO]

    def edit(old: str, new: str) -> str:
        card = repo.head.files["README.md"].decode()
        assert old in card
        return hub.append(repo, repo.head.files | {"README.md": card.replace(old, new).encode()}, "Update README.md")

    def words(text: str) -> tuple[bool, bool]:
        return "pretty_name: Filters of ours" in text, text.endswith("Ask Ada.\n")

    edit("pretty_name: Convolution kernels", "pretty_name: Filters of ours")
    head = edit("<!-- filtercrawl:end -->\n", "<!-- filtercrawl:end -->\nAsk Ada.\n")
    found = children.publish(dataset, hub)
    assert found is not None
    assert (found.get("what"), repo.head.sha) == ("nothing", head), found
    put(zoo / "c.safetensors", state(3))
    run_sync()
    second = children.publish(dataset, hub)
    assert second is not None
    assert second.get("what") == "published", second
    assert content(hub) == files(dataset)
    assert words(content(hub)["README.md"].decode()) == (True, True)
    assert sound(repo)

    # Edited here: that is published. Edited here and there: somebody has to look.
    readme = dataset / "README.md"
    readme.write_text(readme.read_text().replace("Ask Ada.", "Ask Grace."))
    with Catalog(dataset) as catalog:
        catalog.set_meta("stale", "1")
    third = children.publish(dataset, hub)
    assert third is not None
    assert third.get("what") == "published", third
    assert "Ask Grace." in content(hub)["README.md"].decode()
    edit("Ask Grace.", "Ask Alan.")
    readme.write_text(readme.read_text().replace("Ask Grace.", "Ask Emmy."))
    with Catalog(dataset) as catalog:
        catalog.set_meta("stale", "1")
    refused = children.publish(dataset, hub)
    assert refused is not None
    assert refused["error"] == "PolicyError"
    assert "edited since v2026.11.23.2 both here and in" in refused["text"]
    assert "Ask Alan." in content(hub)["README.md"].decode()


def test_what_is_not_sound_is_not_sent(
    hub: HubServer, children: Publishers, run_sync: Sync, dataset: Path, net: Path
) -> None:
    run_sync()
    layers = next((dataset / "data/layers").rglob("*.parquet"))
    whole = layers.read_bytes()
    layers.write_bytes(whole[:100] + b"\0" + whole[101:])
    for damage in (lambda: layers.write_bytes(whole[:-1]), layers.unlink):
        found = children.publish(dataset, hub)
        assert found is not None
        assert found["error"] in ("DatasetError", "NetworkError"), found
        damage()
    found = children.publish(dataset, hub)
    assert found is not None
    assert found["error"] == "DatasetError"
    repo = hub.datasets.get(REPO)
    assert not sound(repo)


def test_dry_run_and_names(
    hub: HubServer, children: Publishers, run_sync: Sync, dataset: Path, net: Path, zoo: Path
) -> None:
    run_sync()
    before = published(dataset)
    files = [*before, *(path for path in ABOUT_RUNS if (dataset / path).is_file())]
    plan = children.publish(dataset, hub, dry_run=True)
    assert plan is not None
    assert (plan["what"], plan["version"], plan["files"]) == ("planned", "v2026.11.23", len(files))
    assert (hub.datasets, published(dataset)) == ({}, before)
    named = children.publish(dataset, hub, version="v1.0")
    assert named is not None
    assert hub.datasets[REPO].tags == {"v1.0": named["commit"]}
    put(zoo / "c.safetensors", state(3))
    run_sync()
    taken = children.publish(dataset, hub, version="v1.0")
    assert taken is not None
    assert taken["error"] == "UsageError"
    assert "tags never move" in taken["text"]


def test_layers_may_go_once_they_are_published(
    hub: HubServer, children: Publishers, run_sync: Sync, dataset: Path, zoo: Path, net: Path
) -> None:
    run_sync()
    whole = files(dataset)
    first = children.publish(dataset, hub, max_disk=10**9)
    assert first is not None
    assert first.get("what") == "published", first
    assert list((dataset / "data/layers").rglob("*.parquet"))
    planned = children.publish(dataset, hub, max_disk=0, dry_run=True)
    assert planned is not None
    assert planned.get("what") == "nothing", planned
    assert list((dataset / "data/layers").rglob("*.parquet"))
    gone = children.publish(dataset, hub, max_disk=0)
    assert gone is not None
    assert gone.get("what") == "nothing", gone
    assert not list((dataset / "data/layers").rglob("*.parquet"))
    put(zoo / "c.safetensors", state(3))
    assert run_sync().to_dict()["checkpoints"]["unchanged"] == 2
    second = children.publish(dataset, hub, max_disk=0)
    assert second is not None
    assert second.get("what") == "published", second
    assert sound(hub.datasets[REPO])
    layers = {path for path in content(hub) if "/layers/" in path}
    assert len(layers) == 3
    assert {path for path in whole if "/layers/" in path} < layers
    # Another place has none of them: that is said, and nothing is published there.
    elsewhere = children.publish(dataset, hub, repo="org/other")
    assert elsewhere is not None
    assert "missing both locally and in the repository" in elsewhere["text"]


def test_a_folder_gets_versions_too(children: Publishers, run_sync: Sync, dataset: Path, zoo: Path, net: Path) -> None:
    run_sync()
    place = dataset.parent / "place"
    first = children.publish(dataset, None, repo=str(place))
    assert first is not None
    assert first.get("what") == "published", first
    assert published(place) == published(dataset)
    before = published(place)
    put(zoo / "c.safetensors", state(3))
    run_sync()
    second = children.publish(dataset, None, repo=str(place))
    assert second is not None
    assert second["version"] == "v2026.11.23.1"
    assert published(place) == published(dataset)
    tags = json.loads((dataset.parent / ".place.versions/tags.json").read_text())
    assert {name: tag["commit"] for name, tag in tags.items()} == {
        "v2026.11.23": first["commit"],
        "v2026.11.23.1": second["commit"],
    }
    assert published(dataset.parent / ".place.versions" / first["commit"]) == before


def test_xet(children: Publishers, run_sync: Sync, dataset: Path, net: Path, zoo: Path, tmp_path: Path) -> None:
    run_sync()
    (tmp_path / "xet").mkdir()
    with publishers(xet=True) as children_, HubServer(xet=tmp_path / "xet") as hub:
        first = children_.publish(dataset, hub)
        assert first is not None
        assert first.get("what") == "published", first
        assert content(hub) == files(dataset)
        assert not [asked for asked in hub.log if asked.method == "PUT"]
        put(zoo / "c.safetensors", state(3))
        run_sync()
        second = children_.publish(dataset, hub)
        assert second is not None
        assert second.get("what") == "published", second
        assert content(hub) == files(dataset)
        assert sound(hub.datasets[REPO])


@pytest.mark.parametrize("lost", ["", "lost", "lost and written again"])
@pytest.mark.parametrize("xet", [False, True], ids=["lfs", "xet"])
def test_on_a_small_disk_layers_go_before_the_commit(
    run_sync: Sync, dataset: Path, net: Path, tmp_path: Path, xet: bool, lost: str
) -> None:
    run_sync()
    layers = {path: path.read_bytes() for path in (dataset / "data/layers").rglob("*.parquet")}
    chunks = tmp_path / "xet"
    chunks.mkdir()
    with publishers(xet=xet) as children_, HubServer(xet=chunks if xet else None) as hub:
        hub.fail("*/commit/*", Fault(status=403))
        refused = children_.publish(dataset, hub, max_disk=1)
        assert refused is not None
        assert refused["error"] == "AccessDeniedError", refused
        assert not [path for path in layers if path.exists()]
        if lost:
            hub.blobs.clear()
            shutil.rmtree(chunks)
            chunks.mkdir()
        if lost == "lost":
            without = children_.publish(dataset, hub)
            assert without is not None
            assert without["error"] == "DatasetError", without
            assert "run `filtercrawl sync` to write it again" in without["text"]
            assert not hub.datasets[REPO].tags
        if lost:
            assert run_sync().layers == 4
        hub.forget()
        found = children_.publish(dataset, hub)
        assert found is not None
        assert found.get("what") == "published", found
        there = content(hub)
        assert all(there[path.relative_to(dataset).as_posix()] == data for path, data in layers.items())
        if not lost:
            sent = {asked.path.rpartition("/")[2] for asked in hub.log if asked.method == "PUT"}
            assert not sent & {sha256(data) for data in layers.values()}
            report = run_sync()
            assert (report.checkpoints["unchanged"], report.layers) == (2, 0)
        assert sound(hub.datasets[REPO])


def test_the_steps_are_logged_without_secrets(
    run_sync: Sync, dataset: Path, net: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert net.is_file()
    run_sync()
    token = "hf_0123456789abcdef"
    with HubServer(page_size=20, token=token) as server:
        for name, value in {"HF_ENDPOINT": server.url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0"}.items():
            monkeypatch.setenv(name, value)
        caplog.set_level("DEBUG")
        filtercrawl_publish.publish(dataset, REPO, version="v1")
    steps = [vars(record)["step"] for record in caplog.records if "step" in vars(record)]
    assert steps == ["compare", "local check", "upload", "commit", "check", "tag"]
    assert all(token not in str(vars(record)) for record in caplog.records)
    assert not re.search(r"://\S*\?", "\n".join(record.getMessage() for record in caplog.records))
