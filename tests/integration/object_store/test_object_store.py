"""A dataset in an object store: the same bytes as in a folder, one writer, nothing lost."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import filtercrawl
import filtercrawl_publish
from conftest import Sync
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import AccessDeniedError, Cancelled, ConflictError, DatasetError, PolicyError, UsageError
from filtercrawl.config import Settings, resolve
from filtercrawl.config.dataset_url import working_folder
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.manifest import ABOUT_RUNS
from filtercrawl.dataset.object_store import session
from filtercrawl.dataset.object_store import stored_dataset as saving
from filtercrawl.dataset.object_store.layer_uploads import STAGED
from filtercrawl.dataset.object_store.session import stored_dataset
from filtercrawl.pipeline.report import SyncReport
from support.engines import files
from support.object_store import ObjectStoreServer
from support.zoo_files import put, state

Machine = Callable[..., Settings]
SyncUrl = Callable[..., SyncReport]


@pytest.fixture
def filled(zoo: Path) -> Path:
    for name, seed in (("a", 1), ("b", 2), ("twin", 2), ("deep/c", 3)):
        put(zoo / f"{name}.safetensors", state(seed))
    return zoo


@pytest.fixture
def folder(dataset: Path, url: str) -> Path:
    """The folder with which the object store is compared: of the same dataset id, which is of the place."""
    with Catalog(dataset) as catalog:
        catalog.set_meta("dataset_id", hashlib.sha256(url.encode()).hexdigest()[:16])
    return dataset


def commits(server: ObjectStoreServer, url: str) -> list[str]:
    return [path for path in server.objects(url, hidden=True) if path.startswith(".filtercrawl/commits/")]


def test_same_bytes_as_in_a_folder(
    filled: Path,
    folder: Path,
    url: str,
    server: ObjectStoreServer,
    run_sync: Sync,
    sync_on: SyncUrl,
    settings_on: Machine,
) -> None:
    run_sync()
    report = sync_on()
    assert report.checkpoints["new"] == 3
    assert report.checkpoints["duplicate"] == 1
    stored = server.objects(url)
    assert stored == files(folder)
    working = settings_on().dataset
    assert list((working / "data/layers").rglob("*.parquet")) == []
    (commit,) = commits(server, url)
    named = json.loads(server.objects(url, hidden=True)[commit])["files"]
    assert {path: sha256 for path, _, sha256 in named if path not in ABOUT_RUNS} == {
        path: hashlib.sha256(content).hexdigest()
        for path, content in stored.items()
        if not path.startswith("data/layers/")
    }
    # A dry run writes nothing; where nothing is new, the lease is all that is written.
    assert sync_on(dry_run=True).checkpoints["unchanged"] == 4
    assert server.objects(url) == stored
    before = server.objects(url, hidden=True)
    server.requests.clear()
    assert sync_on().checkpoints["unchanged"] == 4
    writes = {path.rpartition("/kernels/")[2] for method, path in server.requests if method == "PUT"}
    assert {path.rpartition("/")[0] for path in writes} == {".filtercrawl/leases"}
    after = server.objects(url, hidden=True)
    assert {path: content for path, content in after.items() if "/leases/" not in path} == {
        path: content for path, content in before.items() if "/leases/" not in path
    }


def test_an_empty_machine_continues(
    filled: Path, folder: Path, url: str, server: ObjectStoreServer, run_sync: Sync, sync_on: SyncUrl
) -> None:
    run_sync()
    sync_on("one")
    server.requests.clear()
    assert sync_on("two").checkpoints["unchanged"] == 4
    assert not [path for method, path in server.requests if method == "GET" and "/data/layers/" in path]
    put(filled / "new.safetensors", state(4))
    (filled / "a.safetensors").unlink()
    (filled / "b.safetensors").unlink()  # its twin takes over, by the weights that the store has
    run_sync(prune=True)
    assert sync_on("three", prune=True).checkpoints["new"] == 1
    assert server.objects(url) == files(folder)
    assert sync_on("two", prune=True).checkpoints["new"] == 0  # its folder is of an earlier commit
    assert server.objects(url) == files(folder)
    assert len(commits(server, url)) == 1


def test_a_long_run_saves_meanwhile(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl, monkeypatch: pytest.MonkeyPatch, folder: Path,
    run_sync: Sync,
) -> None:  # fmt: skip
    run_sync()
    monkeypatch.setattr(saving, "_SAVE_SECONDS", 0.0)
    sync_on()
    assert commits(server, url) > [".filtercrawl/commits/00000003.json"]
    assert server.objects(url) == files(folder)


def test_a_second_writer_is_refused(filled: Path, settings_on: Machine, sync_on: SyncUrl) -> None:
    with stored_dataset(settings_on("one"), create=True):
        with pytest.raises(ConflictError, match=r"process \d+ on .* is at work; if it has died") as error:
            sync_on("two")
        assert error.value.exit_code == 5
        with pytest.raises(ConflictError, match="another process on this machine"):
            sync_on("one")
        sync_on("two", dry_run=True)  # reads, and asks nobody
    assert sync_on("two").checkpoints["new"] == 3


def test_a_writer_that_slept_is_overtaken(
    filled: Path,
    folder: Path,
    url: str,
    server: ObjectStoreServer,
    settings_on: Machine,
    sync_on: SyncUrl,
    run_sync: Sync,
) -> None:
    sync_on("one")
    put(filled / "late.safetensors", state(9))
    run_sync()

    def work() -> None:
        with stored_dataset(settings_on("one")):
            server.expire_leases(url)
            assert sync_on("two").checkpoints["new"] == 1

    with pytest.raises(ConflictError, match="another run took over this dataset"):
        work()
    assert server.objects(url) == files(folder)
    assert sync_on("one").checkpoints["unchanged"] == 5
    assert server.objects(url) == files(folder)


@pytest.mark.parametrize("is_caught", [True, False])
def test_a_lost_lease_cancels_the_run(
    is_caught: bool, url: str, server: ObjectStoreServer, settings_on: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_LEASE_SECONDS", 0.2)
    cancellation = CancellationToken()

    def work(caught: type[Exception]) -> None:
        with stored_dataset(settings_on(), cancellation=cancellation, create=True):
            server.files().pipe_file(f"{url}/.filtercrawl/leases/00000009.json", b"{}")
            with suppress(caught):
                cancellation.sleep(60)

    with pytest.raises(ConflictError, match="another run took over this dataset"):
        work(Cancelled if is_caught else ConflictError)


def test_who_reads_keeps_nobody_from_writing(
    filled: Path, server: ObjectStoreServer, settings_on: Machine, sync_on: SyncUrl
) -> None:
    sync_on("one")
    put(filled / "late.safetensors", state(9))
    with stored_dataset(settings_on("one"), read_only=True):
        assert sync_on("one").checkpoints["new"] == 1


def test_a_store_without_conditional_writes_is_refused(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl
) -> None:
    server.conditional = False
    with pytest.raises(PolicyError, match="cannot write an object only where there is none") as error:
        sync_on()
    assert error.value.exit_code == 4
    assert server.objects(url, hidden=True) == {}


def test_errors_say_what_to_do(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(place: str) -> Any:
        with stored_dataset(resolve({"dataset": place}), read_only=True):
            pytest.fail("was opened")

    with pytest.raises(DatasetError, match=f"no dataset here; `filtercrawl sync SELECTOR --dataset {url}` makes one"):
        opened(url)
    with pytest.raises(DatasetError, match="there is no bucket nowhere-at-all; create it"):
        opened("s3://nowhere-at-all/kernels")
    with pytest.raises(UsageError, match="gopher is no object store that fsspec knows, as abfs, gs, s3 are"):
        opened("gopher://host/kernels")
    with pytest.raises(UsageError, match="is a folder of this machine; name it by its path"):
        opened("file:///kernels")
    with pytest.raises(UsageError, match="the library for gs:// is not installed"):
        opened("gs://bucket/kernels")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(AccessDeniedError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"):
        opened(url)


def test_a_place_with_other_objects_is_refused(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl
) -> None:
    server.files().pipe_file(f"{url}/notes/today.txt", b"of somebody else")
    for options in ({}, {"dry_run": True}):
        with pytest.raises(UsageError, match=f"{url}: holds objects, but no dataset of filtercrawl; name"):
            sync_on(**options)
        assert server.objects(url, hidden=True) == {"notes/today.txt": b"of somebody else"}
    server.files().rm(url, recursive=True)
    bucket, _, name = url.removeprefix("s3://").partition("/")
    server.files().call_s3("put_object", Bucket=bucket, Key=f"{name}/", Body=b"")  # as consoles make a folder
    assert sync_on().checkpoints["new"] == 3


def test_a_damaged_commit_loses_nothing(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl, run_sync: Sync, dataset: Path
) -> None:
    sync_on()
    stored = server.objects(url)
    (commit,) = commits(server, url)
    server.files().pipe_file(f"{url}/{commit}", b"{")
    with pytest.raises(DatasetError, match=rf"{commit}: is damaged .*; copy the dataset without .filtercrawl"):
        sync_on()
    server.files().rm_file(f"{url}/{commit}")
    with pytest.raises(UsageError, match="holds objects, but no dataset of filtercrawl"):
        sync_on("two")
    assert server.objects(url) == stored
    for path, content in stored.items():
        (dataset / path).parent.mkdir(parents=True, exist_ok=True)
        (dataset / path).write_bytes(content)
    assert run_sync().checkpoints["unchanged"] == 4
    assert {path: content for path, content in files(dataset).items() if path in stored} == stored


def test_readers_read_the_store(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb
    import pandas as pd
    from datasets import load_dataset

    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    sync_on()
    options = {"key": "key", "secret": "secret", "endpoint_url": server.url}
    models = pd.read_parquet(f"{url}/data/models", storage_options=options)
    assert sorted(models["name"]) == ["a.safetensors", "b.safetensors", "deep/c.safetensors", "twin.safetensors"]
    with duckdb.connect() as connection:
        connection.register_filesystem(server.files())
        ((n_layers,),) = connection.sql(f"SELECT count(*) FROM '{url}/data/layers/*/*/*.parquet'").fetchall()
    layers = load_dataset(
        "parquet", data_files=f"{url}/data/layers/*/*/*.parquet", split="train", storage_options=options
    ).with_format("numpy")
    assert n_layers == len(layers) == 6
    row = next(row for row in layers if row["layer_id"] == "local/a.safetensors#stem.weight")
    assert np.array_equal(row["weight"], state(1)["stem.weight"].numpy().ravel())


def test_withdrawn_weights_leave_the_store(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_on()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    weights = layers_files(server.objects(url))
    withdrawn = filtercrawl_publish.withdraw(["local/a.safetensors"], "by request", dataset=url)
    assert withdrawn.dataset == url
    assert len(layers_files(server.objects(url))) == len(weights) - 1
    assert filtercrawl.status(url).layers == 4


@pytest.mark.exhaustive
@pytest.mark.usefixtures("forked_children")
def test_publish(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync_on()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    assert filtercrawl.publish(url, str(tmp_path / "planned"), dry_run=True, progress=False).outcome == "planned"
    published = filtercrawl.publish(url, str(tmp_path / "published"), progress=False)
    assert published.outcome == "published"
    assert list(filtercrawl_publish.verify(tmp_path / "published", load=False).issues) == []
    assert filtercrawl.publish(url, str(tmp_path / "published"), progress=False).outcome == "nothing"
    working = working_folder(url, tmp_path / "another machine/filtercrawl")
    assert list((working / "data/layers").rglob("*.parquet")) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("exact", [False, True])
def test_analyze(
    exact: bool, filled: Path, folder: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl, run_sync: Sync,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    options: dict[str, Any] = {"only": ["degeneracy"], "exact": exact, "resamples": 10, "progress": False}
    run_sync()
    filtercrawl.analyze(folder, **options)
    sync_on()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    assert filtercrawl.analyze(url, **options).left_out == {}
    stored = server.objects(url)
    assert "analysis/report.html" in stored
    assert stored == files(folder)


def layers_files(stored: Mapping[str, bytes]) -> list[str]:
    return [path for path in stored if path.startswith("data/layers/")]


def test_other_commands_refuse_a_url(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FILTERCRAWL_DATASET", url)
    with pytest.raises(UsageError, match="copy the dataset into a folder"):
        filtercrawl_publish.release(str(tmp_path / "published"))
    with pytest.raises(UsageError, match="copy the dataset into a folder"):
        filtercrawl.subset("healthy-3x3")


def test_cache_of_another_dataset_is_not_used(settings_on: Machine, url: str) -> None:
    other = resolve({"dataset": f"{url}-2", "cache": str(settings_on().cache)})
    assert other.dataset != settings_on().dataset
    assert other.dataset.parent == settings_on().dataset.parent


@pytest.mark.exhaustive
def test_a_store_that_was_emptied_is_begun_anew(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl
) -> None:
    sync_on()
    before = server.objects(url)
    server.files().rm(url, recursive=True)
    assert sync_on().checkpoints["new"] == 3
    assert server.objects(url) == before


@pytest.mark.exhaustive
def test_working_folder_can_be_deleted(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl, settings_on: Machine
) -> None:
    sync_on()
    before = server.objects(url)
    shutil.rmtree(settings_on().dataset)
    assert sync_on().checkpoints["unchanged"] == 4
    assert server.objects(url) == before


def test_what_workers_of_a_killed_run_have_uploaded_is_deleted(
    filled: Path, url: str, server: ObjectStoreServer, sync_on: SyncUrl
) -> None:
    sync_on()
    before = server.objects(url)
    left = {f"{STAGED}/attempt.parquet": b"layers", ".filtercrawl/unclean": b""}
    for path, content in left.items():
        server.files().pipe_file(f"{url}/{path}", content)
    sync_on()
    assert not left.keys() & server.objects(url, hidden=True).keys()
    assert server.objects(url) == before
