"""One checkpoint whose report no table can hold fails alone, and a catalog that holds such rows recovers."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from conftest import NOW, Sync
from filtercrawl.api.errors import CheckpointError, UsageError
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import Files, Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.cli.app import build
from filtercrawl.config import resolve
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.layer_store import LocalLayerStore
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.extraction.ledger import LedgerEntry
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl_publish.verification import verify_folder
from support.crafted_files import entry, external, safetensors
from support.onnx_models import model, node, random_array
from support.onnx_models import tensor as onnx_tensor
from support.zoo_files import layers, models, put, state, table

GOOD = {"local/aa.safetensors", "local/zz.safetensors"}


@pytest.fixture
def good(zoo: Path) -> None:
    put(zoo / "aa.safetensors", state(1))
    put(zoo / "zz.safetensors", state(2))


def check(dataset: Path, report: SyncReport, bad: str, words: str) -> None:
    """The bad file failed with one clear line; the good ones are published."""
    assert set(report.failures) == {f"local/{bad}"}
    line = report.failures[f"local/{bad}"]
    assert words in line
    assert line.isprintable()
    assert len(line) <= 500
    assert not line.startswith("unexpected")
    found = models(dataset)
    assert (found[f"local/{bad}"]["outcome"], found[f"local/{bad}"]["reason"]) == ("failed", line)
    assert {key.partition("#")[0] for key in layers(dataset)} == GOOD
    assert not [row for row in table(dataset, "ledger") if row["model_id"] not in GOOD]
    assert list(verify_folder(dataset)) == []


def strided() -> bytes:
    convolution = node("Conv", ["x", "w"], "y", strides=[2**40, 2**40])
    return model([convolution], [onnx_tensor("w", random_array(4, 3, 3, 3))]).SerializeToString()


UNFIT = {
    "name.safetensors": (safetensors({"x" * 5000: entry([1], 0, 4)}, bytes(4)), "a name of 5,000 characters"),
    "numbers.safetensors": (safetensors({"w": entry([2**40, 2**40], 0, 0, "F99")}), "'w'"),
    "size.safetensors": (safetensors({"w": entry([0, 2**70], 0, 0)}), "'w'"),
    "sum.safetensors": (safetensors({f"w{i}": entry([2**60], 0, 0, "F99") for i in range(40)}), "num_params"),
    "stride.onnx": (strided(), "stride"),
}


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("name", UNFIT)
def test_a_report_that_fits_no_column_fails_one_checkpoint(name: str, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    data, words = UNFIT[name]
    (zoo / name).write_bytes(data)
    report = run_sync()
    check(dataset, report, name, words)
    assert not report.failures[f"local/{name}"].startswith(name)  # it stands beside the reason
    assert run_sync().checkpoints["waiting"] == 1


@pytest.mark.parametrize("arguments", [[], ["--json"]])
@pytest.mark.parametrize("name", UNFIT)
def test_inspect_reports_the_error_of_a_sync(name: str, arguments: list[str], zoo: Path, run_sync: Sync) -> None:
    (zoo / name).write_bytes(UNFIT[name][0])
    result = CliRunner().invoke(build(load_plugins()), ["inspect", str(zoo / name), *arguments])
    assert isinstance(result.exception, CheckpointError)
    assert str(result.exception).removeprefix(f"{name}: ") == run_sync().failures[f"local/{name}"]
    if arguments:
        assert json.loads(result.stdout) == {"error": str(result.exception), "exit_code": 1}
    else:
        assert result.stdout == ""


class Faulty:
    """A reader of a format of its own, `FAULTY` and what it does."""

    name = "faulty"

    def can_read(self, file: RandomAccessFile) -> bool:
        if file.size == 13 and file.read(0, 13) == b"FAULTY claims":
            raise MemoryError
        return file.size > 6 and file.read(0, 6) == b"FAULTY"

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        if file.read(7, file.size - 7) == b"companions":
            raise MemoryError
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        file = files.main
        what = file.read(7, file.size - 7)
        yield StoredTensor(name="a", key="a", shape=(1,), dtype="float32", location=None, reason="bias")
        if what == b"memory":
            raise MemoryError
        if what == b"numpy":
            np.empty(1 << 62, np.uint8)
        if what == b"boolean":
            yield StoredTensor(name="w", key="w", shape=(True,), dtype="float32", location=None, reason="unreadable")


def with_reader(reader: Reader) -> Plugins:
    plugins = load_plugins()
    plugins.__dict__["readers"] = (reader, *plugins.readers)
    return plugins


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("what", ["claims", "companions", "memory", "numpy"])
def test_memory_that_runs_out_fails_one_checkpoint(what: str, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "net.pt").write_bytes(b"FAULTY " + what.encode())
    report = run_sync(plugins=with_reader(Faulty()))
    if what == "companions":  # which nobody needs
        assert report.failures == {}
        assert models(dataset)["local/net.pt"]["outcome"] == "no_kernels"
    else:
        check(dataset, report, "net.pt", "ran out of memory")


@pytest.mark.usefixtures("good")
def test_a_boolean_is_no_size(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "net.pt").write_bytes(b"FAULTY boolean")
    check(dataset, run_sync(plugins=with_reader(Faulty())), "net.pt", "True")


@pytest.mark.usefixtures("good")
def test_memory_that_runs_out_in_the_catalog_fails_one_checkpoint(
    zoo: Path, dataset: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(zoo / "net.pt", state(3))
    write = Catalog.put_content

    def put_content(self: Catalog, model_id: str, rows: Sequence[IndexRow], ledger: Sequence[LedgerEntry]) -> None:
        write(self, model_id, rows, ledger)
        if model_id == "local/net.pt":
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "put_content", put_content)
        report = run_sync()
    check(dataset, report, "net.pt", "ran out of memory")
    assert run_sync(now=NOW + timedelta(days=2)).failures == {}
    assert {key.partition("#")[0] for key in layers(dataset)} == {*GOOD, "local/net.pt"}


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("name", ["a" * 300, "circle.bin", "a\0b", "a" * 5000, "b/" * 3000 + "c"])
def test_a_companion_that_cannot_be_looked_up_fails_one_checkpoint(
    name: str, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    (zoo / "circle.bin").symlink_to(zoo / "circle.bin")
    (zoo / "net.onnx").write_bytes(external(name))
    check(dataset, run_sync(), "net.onnx", "the file " if len(name) < 5000 else f"a name of {len(name)} bytes")


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("name", ["\ud800", "a" * 300, "a\0b", "circle"])
def test_a_shard_that_cannot_be_looked_up_fails_one_checkpoint(
    name: str, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    (zoo / "circle.safetensors").symlink_to(zoo / "circle.safetensors")
    index = {"weight_map": {"a.weight": f"{name}.safetensors"}}
    (zoo / "net.index.json").write_text(json.dumps(index))
    check(dataset, run_sync(), "net.index.json", "the file ")


def mark_unwritten(db: sqlite3.Connection) -> None:
    """Take every row for one that is not in the tables, as the migration of an older catalog does."""
    db.execute("INSERT OR REPLACE INTO changed_models SELECT model_id, NULL FROM models")
    db.execute("UPDATE facts SET value = '1' WHERE key = 'stale'")


def changed(dataset: Path, table: str, model_id: str, change: dict[str, Any]) -> None:
    """Change the record of a row as an older version might have written it, and leave the tables out of date."""
    db = sqlite3.connect(dataset / ".filtercrawl/catalog.sqlite", isolation_level=None)
    where = f"FROM {table} WHERE model_id = ?" + ("" if table == "models" else " AND position = 0")
    (text,) = db.execute(f"SELECT record {where}", (model_id,)).fetchone()
    db.execute(
        f"UPDATE {table} SET record = ? {where.removeprefix(f'FROM {table} ')}",
        (json.dumps(json.loads(text) | change), model_id),
    )
    mark_unwritten(db)
    db.close()


OLD: dict[str, tuple[str, dict[str, Any]]] = {
    "parameters": ("models", {"num_params": 2**80}),
    "kernels": ("models", {"n_kernels": 2**70, "n_kernels_3x3": 2**70}),
    "attempts": ("models", {"file_bytes": 2**63}),
    "stride": ("layers", {"stride": [2**40, 2**40]}),
    "layer": ("layers", {"layer": "\ud800"}),
    "missing": ("layers", {"op": None}),
}


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize("what", OLD)
@pytest.mark.parametrize("offered", [True, False])
def test_a_catalog_with_an_unfit_row_recovers(
    what: str, offered: bool, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    put(zoo / "old.safetensors", state(3))
    run_sync()
    changed(dataset, OLD[what][0], "local/old.safetensors", OLD[what][1])
    other = zoo.parent / "other"
    put(other / "new.safetensors", state(4))
    report = run_sync() if offered else run_sync(f"local:{other}")
    assert report.failures == {}
    found = models(dataset)["local/old.safetensors"]
    stored = {key.partition("#")[0] for key in layers(dataset)}
    if offered:  # read again by this version, which finds nothing wrong with it
        assert (found["outcome"], found["reason"]) == ("emitted", None)
        assert stored == {*GOOD, "local/old.safetensors"}
    else:
        assert found["outcome"] == "failed"
        assert "older version" in found["reason"]
        assert next(iter(OLD[what][1])) in found["reason"]
        assert found["reason"].isprintable()
        assert found["layers_file"] is None
        assert not [row for name in ("index", "ledger") for row in table(dataset, name)
                    if row["model_id"] == "local/old.safetensors"]  # fmt: skip
        assert stored == {*GOOD, "local/new.safetensors"}
    assert list(verify_folder(dataset)) == []


@pytest.mark.usefixtures("good")
def test_a_catalog_with_an_unfit_ledger_recovers(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    """As older versions did: they stored such a file, and no run after that could write the tables."""
    data, words = UNFIT["numbers.safetensors"]
    (zoo / "old.safetensors").write_bytes(
        safetensors({"w": entry([2**20, 2**20], 0, 0, "F99"), "bias": entry([0], 0, 0)})
    )
    run_sync()
    file = zoo / "old.safetensors"
    before = file.stat()
    file.write_bytes(data.ljust(before.st_size))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    db = sqlite3.connect(dataset / ".filtercrawl/catalog.sqlite", isolation_level=None)
    huge = json.dumps([2**40, 2**70])
    assert db.execute("UPDATE ledger SET shape = ? WHERE tensor = 'w'", (huge,)).rowcount == 1
    mark_unwritten(db)
    db.close()
    report = run_sync()
    check(dataset, report, "old.safetensors", words)


def test_the_weights_of_an_unfit_checkpoint_go_to_its_duplicate(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    tensors = state(1)
    put(zoo / "aa.safetensors", tensors)
    put(zoo / "zz.safetensors", tensors | {"more.bias": torch.ones(3)})
    run_sync()
    assert models(dataset)["local/zz.safetensors"]["layers_file"] is None
    before = layers(dataset)
    changed(dataset, "models", "local/aa.safetensors", {"num_params": 2**80})
    other = zoo.parent / "other"
    put(other / "new.safetensors", state(4))
    run_sync(f"local:{other}")
    found = models(dataset)
    assert found["local/aa.safetensors"]["outcome"] == "failed"
    assert (found["local/zz.safetensors"]["outcome"], found["local/zz.safetensors"]["duplicate_of"]) == (
        "emitted",
        None,
    )
    after = layers(dataset)
    for key, weight in before.items():
        assert np.array_equal(after[key.replace("aa.", "zz.")], weight)
    assert list(verify_folder(dataset)) == []


class ReleasedLayers(LocalLayerStore):
    """A store whose release has one layers file that is not in the folder."""

    def __init__(self, dataset: Path, path: str) -> None:
        super().__init__(dataset)
        self.local, self.released = dataset / path, dataset.parent / "released.parquet"
        self.local.rename(self.released)

    def fetch(self, path: str) -> None:
        shutil.copyfile(self.released, self.local)


def test_the_weights_of_an_unfit_checkpoint_are_fetched_for_its_duplicate(
    zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    tensors = state(1)
    put(zoo / "aa.safetensors", tensors)
    put(zoo / "zz.safetensors", tensors | {"more.bias": torch.ones(3)})
    run_sync()
    with Catalog(dataset) as catalog:
        [(path, _, digest)] = catalog.layer_files()
        catalog.put_released([(path, digest)], "v1")
    store = ReleasedLayers(dataset, path)
    changed(dataset, "models", "local/aa.safetensors", {"num_params": 2**80})
    other = zoo.parent / "other"
    put(other / "new.safetensors", state(4))
    settings = resolve({"dataset": dataset, "device": "cpu"})
    sync([f"local:{other}"], SyncContext(settings=settings, plugins=load_plugins(), layer_store=store))
    outcomes = {name: row["outcome"] for name, row in models(dataset).items()}
    assert (outcomes["local/aa.safetensors"], outcomes["local/zz.safetensors"]) == ("failed", "emitted")
    assert list(verify_folder(dataset)) == []


def test_only_unfit_rows_of_a_shared_content_are_no_heirs(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for name in ("aa", "mm", "zz"):
        put(zoo / f"{name}.safetensors", state(1))
    run_sync()
    for name in ("aa", "mm"):
        changed(dataset, "layers", f"local/{name}.safetensors", {"out_channels": 2**70})
    other = zoo.parent / "other"
    put(other / "new.safetensors", state(4))
    run_sync(f"local:{other}")
    outcomes = {name: row["outcome"] for name, row in models(dataset).items()}
    assert outcomes == {
        "local/aa.safetensors": "failed", "local/mm.safetensors": "failed", "local/zz.safetensors": "emitted",
        "local/new.safetensors": "emitted",
    }  # fmt: skip
    assert list(verify_folder(dataset)) == []


def test_a_selector_that_is_no_text_is_refused(tmp_path: Path, run_sync: Sync) -> None:
    folder = tmp_path / os.fsdecode(b"zoo\xff")
    put(folder / "net.safetensors", state())
    with pytest.raises(UsageError, match="not valid UTF-8") as caught:
        run_sync(f"local:{folder}")
    assert str(caught.value).isprintable()
