"""CNN Filter DB both ways: published files read as data, slices of the dataset written as its notebook reads them."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from conftest import NOW, Sync
from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import FiltercrawlError, PolicyError, UsageError
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.reader import find_reader
from filtercrawl.api.source import Query
from filtercrawl.cli.app import build
from filtercrawl.config import Settings
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from support.cnn_filter_db_files import Db, Format, Hostile, published, random_kernels
from support.plugins import declared
from support.zoo_files import put, state


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    """All bundled plugins, as pyproject.toml names them."""
    found = load_plugins(declared())
    assert not found.broken
    return found


@pytest.fixture
def call(plugins: Plugins, dataset: Path) -> Callable[..., Result]:
    def run(*words: object) -> Result:
        return CliRunner().invoke(build(plugins), [*map(str, words), "--dataset", str(dataset)], catch_exceptions=True)

    return run


def table(dataset: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(dataset / "data" / name).to_pylist()
    return rows


def weights(dataset: Path) -> dict[str, NDArray[np.float32]]:
    """Kernels [n, 3, 3] by layer_id."""
    found: dict[str, list[tuple[int, NDArray[np.float32]]]] = {}
    for path in (dataset / "data/layers").rglob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            kernels = np.asarray(row["weight"], np.float32).reshape(-1, 3, 3)
            found.setdefault(row["layer_id"], []).append((row["part"], kernels))
    return {key: np.concatenate([k for _, k in sorted(parts, key=lambda p: p[0])]) for key, parts in found.items()}


# From the published layout.


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("form", ["fixed", "table", "text"])
@pytest.mark.parametrize("storage", [{}, {"chunks": (7, 3, 3), "compression": "gzip", "shuffle": True}])
def test_models_layers_and_kernels(
    form: Format, storage: dict[str, Any], dtype: str, tmp_path: Path, dataset: Path, run_sync: Sync
) -> None:
    db = published(dtype=dtype)
    path = db.write(tmp_path / "filters.h5", form, **storage)
    report = run_sync(f"cnn-filter-db:{path}")
    assert (report.checkpoints["new"], report.checkpoints["failed"]) == (2, 0)
    models = {row["model_id"]: row for row in table(dataset, "models")}
    resnet = models["cnn-filter-db/resnet18_imagenet1k_11"]
    expected = {
        "task": "image-classification", "visual_category": "natural", "training_datasets": ["imagenet-1k"],
        "architecture": "resnet18", "paper": "https://arxiv.org/abs/1512.03385", "format": "cnn-filter-db",
        "file": "filters.h5", "url": None, "verified": "etag", "n_layers": 2, "n_kernels": 30, "license": None,
    }  # fmt: skip
    assert resnet | expected == resnet
    road = models["cnn-filter-db/straße_kitti_9"]
    assert (road["task"], road["visual_category"]) == ("gan-generator", "medical ct")
    assert road["training_datasets"] == ["imagenet-1k", "coco", "my lungs"]
    assert road["paper"] is None

    index = {row["layer_id"]: row for row in table(dataset, "index")}
    first = index["cnn-filter-db/resnet18_imagenet1k_11#Conv_0"]
    expected = {
        "shape": [12, 1, 3, 3], "op": "conv2d", "kernel": "3x3", "n_kernels": 12, "in_channels": None, "groups": None,
        "depthwise": None, "conv_depth": 0, "conv_depth_norm": 0.0, "depth_decile": 0, "is_first": None,
        "is_last": None, "weight_kind": "learned", "bn_folded": None, "structure_source": "cnn_filter_db",
        "operator_verified": False, "stored_dtype": "float64", "orthogonality": None,
    }  # fmt: skip
    assert first | expected == first
    assert first["sparsity"] is not None
    assert index["cnn-filter-db/resnet18_imagenet1k_11#Conv_5"]["depth_decile"] == 4
    # One depth in all: the table divides zero by zero.
    assert index["cnn-filter-db/straße_kitti_9#größe/Conv_1"]["conv_depth_norm"] == 0.0

    found = weights(dataset)
    for layer, (start, stop) in {
        "resnet18_imagenet1k_11#Conv_0": (40, 52),
        "resnet18_imagenet1k_11#Conv_5": (0, 18),
        "straße_kitti_9#größe/Conv_1": (18, 30),
    }.items():
        kernels = found.pop(f"cnn-filter-db/{layer}")
        assert np.array_equal(kernels.astype(np.float64), db.kernels[start:stop])  # nothing was rounded
    assert not found
    [empty] = [row for row in table(dataset, "ledger") if row["reason"] is not None]
    assert (empty["tensor"], empty["reason"], empty["shape"]) == ("norm1.weight", "empty", [0, 1, 3, 3])


def test_first_version(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    """Rows of nine float32, a column `Datatype`, no layer_id."""
    db = Db(random_kernels(6).astype(np.float32).reshape(6, 9))
    facts = {"model": "digits", "Datatype": "handwriting", "Task": "Classification", "Training-Dataset": "MNIST"}
    db.layer(0, (0, 0.0), "3:5", **facts)
    db.layer(0, (0, 0.0), "0:2", **facts)
    for row in db.rows:
        del row["layer_id"]
    path = db.write(tmp_path / "old.h5", "text")
    run_sync(f"cnn-filter-db:{path}")
    [model] = table(dataset, "models")
    assert (model["visual_category"], model["training_datasets"]) == ("handwriting", ["mnist"])
    found = weights(dataset)
    assert np.array_equal(found["cnn-filter-db/digits#conv0"].reshape(-1, 9), db.kernels[3:])
    assert np.array_equal(found["cnn-filter-db/digits#conv0~2"].reshape(-1, 9), db.kernels[:3])


def test_one_model_of_many(tmp_path: Path, dataset: Path, run_sync: Sync, plugins: Plugins) -> None:
    path = published().write(tmp_path / "filters.h5")
    assert run_sync(f"cnn-filter-db:{path}#resnet*").checkpoints["discovered"] == 1
    assert CliRunner().invoke(build(plugins), ["verify", str(dataset)]).exit_code == 0
    result = CliRunner().invoke(build(plugins), ["inspect", f"cnn-filter-db:{path}#*kitti*"])
    assert "größe/Conv_1  12x1x3x3" in result.stdout
    assert "emitted as conv2d 3x3" in result.stdout


def test_nothing_in_a_pickle_is_run(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    mark = tmp_path / "run"
    db = published()
    for row in db.rows:
        row["Paper"] = Hostile(mark)
    path = db.write(tmp_path / "hostile.h5")
    pd.read_hdf(path, "meta")
    assert mark.exists()  # so it does for whoever loads it
    mark.unlink()
    report = run_sync(f"cnn-filter-db:{path}")
    assert (report.checkpoints["new"], report.checkpoints["failed"]) == (2, 0)
    assert not mark.exists()
    assert {row["paper"] for row in table(dataset, "models")} == {None}


@pytest.mark.parametrize("ids", ["50:60", "60:70", "5:3", "3", "-1:4", "a:b", "", 7, None, "0:99999999999999999999"])
def test_a_range_that_is_none_costs_its_model_alone(ids: Any, tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    db = published()
    db.layer(9, (0, 0.0), ids, "Conv_9", model="broken")
    db.rows[-1] = dict.fromkeys(db.rows[0]) | db.rows[-1]
    report = run_sync(f"cnn-filter-db:{db.write(tmp_path / 'filters.h5')}")
    assert (report.checkpoints["new"], report.checkpoints["failed"]) == (2, 1)
    [broken] = [row for row in table(dataset, "models") if row["outcome"] == "failed"]
    assert broken["name"] == "broken"
    assert broken["reason"].startswith("filters.h5: model 9 (broken): layer 'Conv_9': filter_ids is ")
    assert broken["reason"].endswith("expected FIRST:LAST of the 60 kernels in /filters")


def test_names_are_unique_and_stay(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    db = Db(random_kernels(9))
    db.layer(1, (0, 0.0), "0:0", model="net", Name="a")
    db.layer(2, (0, 0.0), "1:1", model="net", Name="b")
    db.layer(3, (0, 0.0), "2:2", model=None, Name="c")
    db.layer(4, (0, 0.0), "3:3", model=None, Name=None)
    db.layer(5, (0, 0.0), "4:4", model="net@1", Name=None)
    db.layer(6, (0, 0.0), "5:5", model="bad\x1b[31m", Name=None)
    path = db.write(tmp_path / "x.h5")
    run_sync(f"cnn-filter-db:{path} as=v1")
    names = {row["name"] for row in table(dataset, "models")}
    assert names == {"v1/net@1@", "v1/net@2", "v1/c", "v1/model@4", "v1/net@1", "v1/bad\\x1b[31m"}


def test_a_model_is_hashed_by_its_own_bytes(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    db = published()
    path = db.write(tmp_path / "filters.h5")
    first = run_sync(f"cnn-filter-db:{path}")
    before = {row["name"]: row["file_sha256"] for row in table(dataset, "models")}
    # Three layers with kernels, 42 of them; the file also holds 18 that are nobody's.
    assert first.bytes_fetched < 42 * 72 + 10_000 < path.stat().st_size
    # The same content, written in another way, is the same; a changed kernel changes its model alone.
    db.write(path, "table", chunks=(5, 3, 3))
    again = run_sync(f"cnn-filter-db:{path}")
    assert (again.checkpoints["changed"], again.checkpoints["unchanged"]) == (0, 2)
    db.kernels[20] += 1
    db.write(path)
    third = run_sync(f"cnn-filter-db:{path}")
    assert (third.checkpoints["changed"], third.checkpoints["unchanged"]) == (1, 1)
    after = {row["name"]: row["file_sha256"] for row in table(dataset, "models")}
    assert {name for name in before if before[name] != after[name]} == {"straße_kitti_9"}
    assert run_sync(f"cnn-filter-db:{path}").checkpoints["unchanged"] == 2


def test_the_file_is_never_read_whole(tmp_path: Path, plugins: Plugins, dataset: Path) -> None:
    """Of a file with a million kernels only the eight of its one model are read."""
    path = tmp_path / "large.h5"
    db = Db(random_kernels(8))
    db.layer(0, (0, 0.0), "999990:999997", model="small")
    db.write(path)
    with h5py.File(path, "r+") as file:
        del file["filters"]
        file.create_dataset("filters", (1_000_000, 3, 3), "<f8")[999_990:999_998] = db.kernels
    tracemalloc.start()
    report = sync(
        [f"cnn-filter-db:{path}"],
        SyncContext(settings=Settings(dataset=dataset, engine="threads"), plugins=plugins, now=NOW),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.checkpoints["new"] == 1
    assert report.bytes_fetched < 100_000
    assert peak < 20_000_000 < 72_000_000
    assert np.array_equal(weights(dataset)["cnn-filter-db/small#Conv_0"], db.kernels)


def _external_link(path: Path, other: Path) -> None:
    with h5py.File(other, "w") as file:
        file["filters"] = random_kernels(60)
    with h5py.File(path, "r+") as file:
        del file["filters"]
        file["filters"] = h5py.ExternalLink(other, "/filters")


def _soft_link(path: Path, other: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.move("filters", "elsewhere")
        file["filters"] = h5py.SoftLink("/elsewhere")


def _external_storage(path: Path, other: Path) -> None:
    other.write_bytes(bytes(60 * 72))
    with h5py.File(path, "r+") as file:
        del file["filters"]
        file.create_dataset("filters", (60, 3, 3), "<f8", external=[(other, 0, 60 * 72)])


def _virtual(path: Path, other: Path) -> None:
    with h5py.File(other, "w") as file:
        file["filters"] = random_kernels(60)
    layout = h5py.VirtualLayout((60, 3, 3), "<f8")
    layout[:] = h5py.VirtualSource(other, "filters", (60, 3, 3))
    with h5py.File(path, "r+") as file:
        del file["filters"]
        file.create_virtual_dataset("filters", layout)


@pytest.mark.parametrize("plant", [_external_link, _soft_link, _external_storage, _virtual])
def test_other_files_are_never_read(plant: Callable[[Path, Path], None], tmp_path: Path, run_sync: Sync) -> None:
    path = published().write(tmp_path / "filters.h5")
    plant(path, tmp_path / "secret.bin")
    with pytest.raises(UsageError, match=r"filters\.h5: 'filters' (is a link|lies in another file)"):
        run_sync(f"cnn-filter-db:{path}")


def _no_filters(file: h5py.File) -> None:
    del file["filters"]


def _no_meta(file: h5py.File) -> None:
    del file["meta"]


def _shape(file: h5py.File) -> None:
    del file["filters"]
    file["filters"] = np.zeros((6, 5, 5))


def _dtype(file: h5py.File) -> None:
    del file["filters"]
    file["filters"] = np.zeros((6, 3, 3), ">f8")


def _unwritten(file: h5py.File) -> None:
    del file["filters"]
    file.create_dataset("filters", (1 << 40, 3, 3), "<f8")


def _blocks(file: h5py.File) -> None:
    file["meta"].attrs["nblocks"] = 1 << 40


def _codes(file: h5py.File) -> None:
    del file["meta/axis1_label0"]
    file["meta/axis1_label0"] = np.full(4, 100, np.int8)


def _pickle(file: h5py.File) -> None:
    name = next(name for name in file["meta"] if h5py.check_vlen_dtype(file[f"meta/{name}"].dtype))
    file[f"meta/{name}"][0] = np.frombuffer(b"\x80\x05(((", np.uint8)


def _kind(file: h5py.File) -> None:
    del file["meta"]
    file["meta"] = np.zeros(5)


@pytest.mark.parametrize("spoil", [_no_filters, _no_meta, _shape, _dtype, _unwritten, _blocks, _codes, _pickle, _kind])
def test_a_spoilt_file_gets_one_clear_line(
    spoil: Callable[[h5py.File], None], tmp_path: Path, call: Callable[..., Result]
) -> None:
    path = published().write(tmp_path / "filters.h5")
    with h5py.File(path, "r+") as file:
        spoil(file)
    result = call("sync", f"cnn-filter-db:{path}")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith("cnn-filter-db: filters.h5: ")
    assert "\n" not in str(result.exception)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 1 << 30), new=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_damage_is_an_error_of_ours_or_harmless(
    at: int, new: bytes, cut: bool, tmp_path: Path, plugins: Plugins
) -> None:
    path = tmp_path / "whole.h5"
    if not path.exists():
        published().write(path)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + len(new)] = new
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(data[:at] if cut else data)
    with suppress(FiltercrawlError):  # and nothing else
        for offer in plugins.sources["cnn-filter-db"].checkpoints(network(), Query(pattern=str(damaged))):
            assert isinstance(offer, Checkpoint)
            with CheckpointFiles(offer, plugins.readers, network(), plugins.sources["cnn-filter-db"]) as files:
                assert find_reader(plugins.readers, files.main) is not None
                assert files.sha256()


def test_other_files(tmp_path: Path, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(UsageError, match=r"text\.h5: is not an HDF5 file"):
        run_sync(f"cnn-filter-db:{tmp_path / 'text.h5'}")
    with pytest.raises(UsageError, match="No such file"):
        run_sync(f"cnn-filter-db:{tmp_path / 'none.h5'}")
    with pytest.raises(UsageError, match="needs a path"):
        run_sync("cnn-filter-db:")
    with h5py.File(zoo / "foreign.h5", "w") as file:
        file["model_weights"] = np.zeros(3)
    published().write(zoo / "filters.h5")
    report = run_sync(f"local:{zoo}")  # a folder that happens to hold such files
    assert report.checkpoints["failed"] == 2
    rows = {row["name"]: row["reason"] for row in table(dataset, "models")}
    assert rows["foreign.h5"] == "the file is an HDF5 file; no reader claims it"
    assert rows["filters.h5"] == "contains many models; use the selector cnn-filter-db:filters.h5"


def test_two_files_that_offer_one_name(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    one, other = (published().write(tmp_path / f"a b {name}.h5") for name in "xy")
    with pytest.raises(UsageError, match="give one of them a label"):
        run_sync(f"cnn-filter-db:{one}", f"cnn-filter-db:{other}")
    run_sync(f"cnn-filter-db:{one}")
    with pytest.raises(UsageError, match="give one of them a label"):
        run_sync(f"cnn-filter-db:{other}")
    run_sync(f"cnn-filter-db:{other} as=second")
    assert sorted(row["outcome"] for row in table(dataset, "models")) == ["duplicate"] * 2 + ["emitted"] * 2


def test_export_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, zoo: Path, call: Callable[..., Result]
) -> None:
    put(zoo / "net.safetensors", state())
    assert call("sync", f"local:{zoo}").exit_code == 0
    monkeypatch.setitem(sys.modules, "tables", None)  # as if it were not installed
    result = call("export", "cnn-filter-db", tmp_path / "o.h5")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == "export cnn-filter-db needs tables; pip install 'filtercrawl[cnn-filter-db]'"


# To the published layout.


def gather(meta: pd.DataFrame, filters: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernels of these rows of the table, [n, 9]: how the notebook selects a group."""
    spans = (span.split(":") for span in meta.filter_ids)
    ids = np.hstack([np.arange(int(first), int(last) + 1) for first, last in spans])
    return filters[ids].reshape(-1, 9)


def scaled(kernels: NDArray[np.float64]) -> NDArray[np.float16]:
    half = kernels.astype(np.float16)
    peak = np.abs(half).max(axis=1, keepdims=True)
    return half / np.where(peak == 0, 1, peak)


def test_the_notebook_runs_on_an_export(tmp_path: Path, zoo: Path, run_sync: Sync, call: Callable[..., Result]) -> None:
    """Load, select by task, scale, PCA, histograms in one range, KL: the steps of the paper, as it defines them."""
    db = published(400)
    db.rows[0]["filter_ids"], db.rows[3]["filter_ids"] = "200:399", "20:190"
    run_sync(f"cnn-filter-db:{db.write(tmp_path / 'in.h5')}")
    put(zoo / "net.safetensors", state())
    run_sync(f"local:{zoo}")
    target = tmp_path / "out.h5"
    result = call("export", "cnn-filter-db", target)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("401 kernels of 4 layers in 3 models\n")

    meta = pd.read_hdf(target, "/meta")
    assert isinstance(meta, pd.DataFrame)
    assert list(meta.index.names) == ["model_id", "conv_depth", "conv_depth_norm", "layer_id"]
    users_know = {
        "filter_ids", "model", "producer", "op_set", "depth", "Name", "Paper", "Pretraining-Dataset",
        "Training-Dataset", "Visual Category", "Task", "Accessible", "Dataset URL", "total_filters",
        "3x3_filter_share", "(3, 3) filters", "(5, 5) filters", "Conv", "Relu",
    }  # fmt: skip
    assert users_know <= set(meta.columns)
    with h5py.File(target) as file:
        filters = file["filters"][...]
        assert file["filters"].chunks is None
    assert (filters.shape, filters.dtype) == ((401, 3, 3), np.float64)
    ids = sorted(tuple(map(int, span.split(":"))) for span in meta.filter_ids)
    assert ids[0][0] == 0
    assert ids[-1][1] == 400
    assert all(before[1] + 1 == after[0] for before, after in pairwise(ids))

    assert set(meta.Task.dropna()) == {"Classification", "GAN-Generator"}
    everything = scaled(filters.reshape(-1, 9)).astype(np.float32)
    mean = everything.mean(0)
    _, singular, components = np.linalg.svd(everything - mean, full_matrices=False)
    explained = singular**2 / (singular**2).sum()
    coefficients = (everything - mean) @ components.T
    span = (coefficients.min(), coefficients.max())
    groups = []
    for task in ("Classification", "GAN-Generator"):
        group = (scaled(gather(meta[meta.Task == task], filters)).astype(np.float32) - mean) @ components.T
        histograms = [np.histogram(column, 70, span, density=True)[0] for column in group.T]
        p = np.asarray([np.where(h == 0, np.finfo(np.float32).eps, h) for h in histograms], np.float64)
        groups.append(p / p.sum(1, keepdims=True))
    p, q = groups
    drift = (explained * ((p * np.log(p / q)).sum(1) + (q * np.log(q / p)).sum(1))).sum()
    assert 0 < drift < 20
    assert np.array_equal(gather(meta[meta.Task == "GAN-Generator"], filters), db.kernels[20:191].reshape(-1, 9))


def test_there_and_back_again(tmp_path: Path, dataset: Path, run_sync: Sync, call: Callable[..., Result]) -> None:
    run_sync(f"cnn-filter-db:{published().write(tmp_path / 'in.h5')}")
    out = tmp_path / "out.h5"
    assert call("export", "cnn-filter-db", out).exit_code == 0
    second = tmp_path / "second"
    run_sync(f"cnn-filter-db:{out}", dataset=second)
    before, after = weights(dataset), weights(second)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key].view(np.uint32), after[key].view(np.uint32)) for key in before)
    stated = ("name", "task", "visual_category", "training_datasets", "architecture", "paper", "n_kernels")
    for one, other in zip(table(dataset, "models"), table(second, "models"), strict=True):
        assert {name: one[name] for name in stated} == {name: other[name] for name in stated}
        kept, again = (json.loads(row["extra"])["cnn_filter_db"] for row in (one, other))
        assert again | kept == again
    depths = ("layer_id", "conv_depth", "conv_depth_norm", "depth_decile", "layer_sha256")
    for one, other in zip(table(dataset, "index"), table(second, "index"), strict=True):
        assert {name: one[name] for name in depths} == {name: other[name] for name in depths}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_kernels_come_back(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, plugins: Plugins) -> None:
    """Layers of any length, values with infinities, signed zeros and subnormals: float32 comes back bit for bit."""
    top = tmp_path_factory.mktemp("any")
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    bits = np.random.default_rng(data.draw(st.integers(0, 1 << 30))).integers(0, 1 << 32, (sum(sizes), 3, 3), np.uint32)
    values = bits.view(np.float32)
    values = np.where(np.isnan(values), np.float32(-0.0), values)
    db, start = Db(values.astype(np.float64)), 0
    for number, size in enumerate(sizes):
        db.layer(
            number % 2,
            (number, number / len(sizes)),
            f"{start}:{start + size - 1}",
            f"c{number}",
            model=f"m{number % 2}",
        )
        start += size
    sets = [top / "one", top / "two"]
    path = db.write(top / "in.h5")
    for folder in sets:
        sync(
            [f"cnn-filter-db:{path}"],
            SyncContext(settings=Settings(dataset=folder, engine="threads"), plugins=plugins, now=NOW),
        )
        path = top / "out.h5"
        words = ["export", "cnn-filter-db", str(path), "--dataset", str(folder), "--force"]
        assert CliRunner().invoke(build(plugins), words).exit_code == 0
    one, two = map(weights, sets)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[key].view(np.uint32), two[key].view(np.uint32)) for key in one)
    assert sum(map(len, one.values())) == len(values)


def test_slices(tmp_path: Path, zoo: Path, run_sync: Sync, call: Callable[..., Result]) -> None:
    run_sync(f"cnn-filter-db:{published().write(tmp_path / 'in.h5')}")
    put(zoo / "net.safetensors", state())
    run_sync(f"local:{zoo}")
    target = tmp_path / "out.h5"

    def models(*words: str) -> set[str]:
        result = call("export", "cnn-filter-db", target, "--force", "--json", *words)
        assert result.exit_code == 0, result.exception
        found = set(pd.read_hdf(target, "meta")["model"])
        assert json.loads(result.stdout)["models"] == len(found)
        return found

    every = {"resnet18_imagenet1k_11", "straße_kitti_9", "local/net.safetensors"}
    assert models() == every
    assert models("--source", "local") == {"local/net.safetensors"}
    assert models("--task", "image-classification", "--task", "gan-generator") == every - {"local/net.safetensors"}
    assert models("--model", "*resnet*") == {"resnet18_imagenet1k_11"}
    assert models("--model", "net.*") == {"local/net.safetensors"}
    assert len(models("--limit", "1")) == 1
    before = target.read_bytes()
    assert isinstance(call("export", "cnn-filter-db", target).exception, PolicyError)
    nothing = call("export", "cnn-filter-db", target, "--force", "--model", "none")
    assert isinstance(nothing.exception, UsageError)
    assert target.read_bytes() == before


def test_weights_that_another_file_holds_are_exported(
    tmp_path: Path, zoo: Path, run_sync: Sync, call: Callable[..., Result]
) -> None:
    import torch

    random = torch.manual_seed(0)
    first, second = (torch.randn(4, inputs, 3, 3, generator=random) for inputs in (3, 4))
    backbone = {"a.weight": first, "b.weight": second, "c.weight": second.clone()}
    put(zoo / "one.safetensors", backbone | {"head.weight": torch.zeros(2, 4)})
    put(zoo / "two.safetensors", backbone | {"head.weight": torch.ones(2, 4)})
    run_sync(f"local:{zoo}")
    target = tmp_path / "out.h5"
    assert call("export", "cnn-filter-db", target).exit_code == 0
    meta = pd.read_hdf(target, "meta")
    assert isinstance(meta, pd.DataFrame)
    with h5py.File(target) as file:
        filters = file["filters"][...]
    kernels = np.concatenate([first.reshape(-1, 9), second.reshape(-1, 9), second.reshape(-1, 9)])
    for name in ("local/one.safetensors", "local/two.safetensors"):
        assert np.array_equal(gather(meta[meta.model == name], filters), kernels)


def test_a_failed_export_leaves_nothing(
    tmp_path: Path, zoo: Path, dataset: Path, run_sync: Sync, call: Callable[..., Result]
) -> None:
    put(zoo / "net.safetensors", state())
    run_sync(f"local:{zoo}")
    [layers] = (dataset / "data/layers").rglob("*.parquet")
    layers.write_bytes(layers.read_bytes()[:100])
    (tmp_path / "out").mkdir()
    result = call("export", "cnn-filter-db", tmp_path / "out/out.h5")
    assert isinstance(result.exception, FiltercrawlError)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_needs_little_memory(tmp_path: Path, zoo: Path, run_sync: Sync, call: Callable[..., Result]) -> None:
    import torch

    large = {f"layers.{i}.weight": torch.randn(1024, 512, 3, 3, generator=torch.manual_seed(i)) for i in range(3)}
    put(zoo / "net.safetensors", large)  # 57 MB, which is 113 MB in float64
    run_sync(f"local:{zoo}")
    call("export", "cnn-filter-db", tmp_path / "warm.h5", "--limit", "1")
    tracemalloc.start()
    assert call("export", "cnn-filter-db", tmp_path / "out.h5").exit_code == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000
    assert (tmp_path / "out.h5").stat().st_size > 113_000_000
