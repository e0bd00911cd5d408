"""Strangers' files of every bad kind beside good ones: one clear line for each, nothing run, nothing lost."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from conftest import Sync
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from filtercrawl.pipeline.report import SyncReport
from filtercrawl_publish.verification import verify_folder
from support.crafted_files import entry, external, safetensors
from support.malicious_pickles import BOMBS, MALICIOUS, PAYLOADS
from support.onnx_models import model, node, random_array, tensor
from support.torch_files import saved
from support.zoo_files import layers, models, published, put, state, table

PETABYTE = 1 << 50


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def onnx_file() -> bytes:
    return model([node("Conv", ["x", "w"], "y")], [tensor("w", random_array(4, 3, 3, 3))]).SerializeToString()


NINE = bytes(36)
KERNEL = [1, 1, 3, 3]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
# By file name: what each holds. The name is what a stranger would have given it.
BAD: dict[str, bytes] = {
    "empty.pt": b"",
    "empty.safetensors": b"",
    "one-byte.onnx": b"\x08",
    "random.bin": np.random.default_rng(0).bytes(5000),
    "random.onnx": np.random.default_rng(1).bytes(5000),
    "picture.onnx": PNG,
    "text.pth": zipped("notes.txt", b"no weights here"),
    "html.safetensors": b"<html><body>404 Not Found</body></html>",
    "pointer.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "evil\u202ename.pt".replace("\u202e", "-"): b"\x00" * 64,
    "header-of-petabytes.safetensors": safetensors(b"{}", length=PETABYTE),
    "header-of-90-megabytes.safetensors": safetensors(b"{" + b" " * 50, length=90_000_000),
    "tensor-of-petabytes.safetensors": safetensors({"w.weight": entry([1 << 24, 1 << 24, 3, 3], 0, 9 << 50)}, NINE),
    "shape-of-petabytes.safetensors": safetensors({"w.weight": entry([1 << 24, 1 << 24, 3, 3], 0, 36)}, NINE),
    "shape-that-overflows.safetensors": safetensors({"w.weight": entry([1 << 62, 4, 1, 1], 0, 0)}, NINE),
    "negative.safetensors": safetensors({"w.weight": entry([-1, -1, 3, 3], 0, 36)}, NINE),
    "overlap.safetensors": safetensors({"a.weight": entry(KERNEL, 0, 36), "b.weight": entry(KERNEL, 18, 54)}, NINE * 2),
    "hole.safetensors": safetensors({"a.weight": entry(KERNEL, 0, 36), "b.weight": entry(KERNEL, 40, 76)}, NINE * 3),
    "same-key.safetensors": safetensors(
        b'{"a.weight":%b,"a.weight":%b}' % ((json.dumps(entry(KERNEL, 0, 36)).encode(),) * 2), NINE
    ),
    "deep.safetensors": safetensors(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "long-number.safetensors": safetensors(b'{"a.weight":{"dtype":"F32","shape":[' + b"9" * 100_000 + b"]}}"),
    "no-mapping.safetensors": safetensors(b"{}x"),
    "list.safetensors": safetensors({"w.weight": [1, 2, 3]}),
    "wild-text.safetensors": safetensors({"w\n\x1b[31m\u202e" + "x" * 3000: entry([3], 0, 4)}, NINE),
    "no-such-shard.index.json": json.dumps({"weight_map": {"a.weight": "gone.safetensors"}}).encode(),
    "shard-outside.index.json": json.dumps({"weight_map": {"a.weight": "../secret.safetensors"}}).encode(),
    "shard-of-itself.index.json": json.dumps({"weight_map": {"a.weight": "shard-of-itself.index.json"}}).encode(),
    "array-of-petabytes.npz": zipped(
        "w.npy", b"\x93NUMPY\x01\x00v\x00" + f"{{'descr':'<f4','fortran_order':False,'shape':({PETABYTE},9)}}".encode()
    ),
    "objects.npz": zipped("w.npy", b"\x93NUMPY\x01\x00v\x00{'descr':'|O','fortran_order':False,'shape':(1,)}" + NINE),
}
# Files that are sound, whatever they are called.
MISNAMED: dict[str, Callable[[], bytes]] = {
    "really-onnx.pt": onnx_file,
    "really-torch.onnx": lambda: saved({"conv.weight": torch.ones(2, 3, 3, 3)}),
    "really-safetensors.bin": lambda: safetensors(
        {"conv.weight": entry([1, 1, 3, 3], 0, 36)}, struct.pack("<9f", *range(9))
    ),
    "no-extension": lambda: saved({"conv.weight": torch.full((2, 3, 3, 3), 2.0)}, zipped=False),
}


def check(report: SyncReport, dataset: Path, bad: set[str]) -> None:
    """Every bad file failed with one line; the rest of the folder is sound."""
    assert set(report.failures) == {f"local/{name}" for name in bad}
    for model_id, row in models(dataset).items():
        if model_id not in report.failures:
            assert row["outcome"] != "failed"
            continue
        assert (row["outcome"], row["reason"]) == ("failed", report.failures[model_id])
        line = row["reason"]
        assert line.isprintable()
        assert len(line) <= 500
        assert not line.startswith("unexpected"), line
        assert not line.startswith(model_id.rpartition("/")[2]), line  # it stands beside the reason
    assert list(verify_folder(dataset)) == []


def test_bad_files_beside_good_ones(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "good/net.safetensors", state())
    for name, data in BAD.items():
        (zoo / name).write_bytes(data)
    for name, make in MISNAMED.items():
        (zoo / name).write_bytes(make())
    (zoo / "README.md").write_text("# Weights\nnot here")
    (zoo / "config.json").write_text("{}")
    report = run_sync()
    check(report, dataset, set(BAD))
    assert report.to_dict()["checkpoints"]["ignored"] == 2
    found = {key.partition("#")[0] for key in layers(dataset)}
    assert found == {"local/good/net.safetensors", *(f"local/{name}" for name in MISNAMED)}
    before = published(dataset)
    assert run_sync().to_dict()["checkpoints"]["waiting"] == len(BAD)
    assert published(dataset) == before


def test_a_file_may_end_anywhere(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    """Cut at many places, a file fails; only ONNX may lose a tail that holds no weights."""
    put(zoo / "net.safetensors", state())
    whole = {
        "safetensors": (zoo / "net.safetensors").read_bytes(),
        "pt": saved({"state_dict": state(1)}),
        "pth": saved({"state_dict": state(1)}, zipped=False),
        "onnx": onnx_file(),
    }
    cut = set()
    for extension, data in whole.items():
        for part in range(1, 16):
            name = f"cut-{part}.{extension}"
            (zoo / name).write_bytes(data[: len(data) * part // 16])
            cut.add(name)
    report = run_sync()
    check(report, dataset, cut)
    assert {key.partition("#")[0] for key in layers(dataset)} == {"local/net.safetensors"}


def test_nothing_of_a_malicious_pickle_runs(zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    names: dict[str, str] = {}
    # The readers' own tests time these; here they would only take long.
    slow = ("memo bomb", "mark bomb", "again", "as long as", "megabyte", "digits", "zeros", " in ", "laughs")
    for number, (what, make) in enumerate(MALICIOUS.items()):
        if not any(word in what for word in slow):  # the readers' own tests time them
            names[f"evil-{number}.pt"] = what
            (zoo / f"evil-{number}.pt").write_bytes(make(marker))
    put(zoo / "good.safetensors", state())
    before = sorted(path for path in tmp_path.rglob("*") if dataset not in path.parents)
    report = run_sync()
    check(report, dataset, {name for name, what in names.items() if what in BOMBS})
    assert sorted(path for path in tmp_path.rglob("*") if dataset not in path.parents and path != dataset) == before
    read = {row["name"] for row in models(dataset).values() if row["outcome"] in ("emitted", "duplicate")}
    assert read == {"good.safetensors", *(name for name, what in names.items() if what in PAYLOADS)}


@pytest.mark.parametrize("name", [name for name, data in BAD.items() if len(data) < 2000])
def test_a_small_lie_costs_little(name: str, zoo: Path, run_sync: Sync) -> None:
    (zoo / name).write_bytes(BAD[name])
    (zoo.parent / "first").mkdir()
    put(zoo.parent / "first/good.safetensors", state())
    run_sync(f"local:{zoo.parent / 'first'}", jobs=1)
    started = time.process_time()
    tracemalloc.start()
    try:
        run_sync(jobs=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "name", ["a pickle of petabytes in a small archive", "a storage that inflates beyond any ratio"]
)
def test_a_zip_bomb_is_not_inflated(name: str, zoo: Path, run_sync: Sync, tmp_path: Path) -> None:
    (zoo / "bomb.pt").write_bytes(BOMBS[name](tmp_path / "ran"))
    tracemalloc.start()
    try:
        report = run_sync(jobs=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert list(report.failures) == ["local/bomb.pt"]


def test_no_file_is_read_outside_the_folder(tmp_path: Path, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weight = random_array(4, 3, 3, 3)
    (tmp_path / "secret.bin").write_bytes(weight.tobytes())
    put(tmp_path / "secret.safetensors", {"conv.weight": torch.ones(2, 3, 3, 3)})
    (zoo / "sub").mkdir()
    (zoo / "sub/weights.bin").write_bytes(weight.tobytes())
    (zoo / "sub/inside.onnx").write_bytes(external("weights.bin"))
    (zoo / "up.onnx").write_bytes(external("../secret.bin"))
    (zoo / "sub/up.onnx").write_bytes(external("../../secret.bin"))
    (zoo / "absolute.onnx").write_bytes(external(str(tmp_path / "secret.bin")))
    (zoo / "link.bin").symlink_to(tmp_path / "secret.bin")
    (zoo / "link.onnx").write_bytes(external("link.bin"))
    (zoo / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    (zoo / "folder").symlink_to(tmp_path)
    (zoo / "circle").symlink_to(zoo)
    report = run_sync()
    check(report, dataset, {"up.onnx", "sub/up.onnx", "absolute.onnx", "link.onnx"})
    (stored,) = layers(dataset).items()
    assert stored[0] == "local/sub/inside.onnx#w"
    assert np.array_equal(stored[1], weight)
    skipped = {row["name"]: row["reason"] for row in models(dataset).values() if row["outcome"] == "skipped"}
    assert {"link.safetensors", "folder"} <= skipped.keys()
    assert not any("secret" in name for name in models(dataset))


TEXTS = {
    "<script>alert(1)</script>.weight": "<script>alert(1)</script>.weight",
    "../../../etc/passwd.weight": "../../../etc/passwd.weight",
    "a\nb\x1b[2J.weight": r"a\x0ab\x1b[2J.weight",
    "\u202eabc.weight": r"\U0000202eabc.weight",
    "\udc80.weight": r"\x80.weight",
    "größe.weight": "größe.weight",
    ".weight": ".weight",
}


def test_text_from_files_is_data(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    """Names of tensors that are markup or paths do no harm; what is not printable is stored escaped."""
    header = {name: entry([1, 1, 3, 3], 36 * i, 36 * i + 36) for i, name in enumerate(TEXTS)}
    header["bias"] = entry([1], 36 * len(TEXTS), 36 * len(TEXTS) + 4, "\x1b[31m\u202e" + "X" * 10_000)
    numbers = np.arange(9 * len(TEXTS) + 1, dtype="<f4")
    (zoo / "net.safetensors").write_bytes(safetensors(header, numbers.tobytes()))
    report = run_sync()
    assert report.failures == {}
    assert {key.partition("#")[2] for key in layers(dataset)} == set(TEXTS.values())
    (dtype,) = (row["dtype"] for row in table(dataset, "ledger") if row["tensor"] == "bias")
    assert dtype.isprintable()
    assert len(dtype) <= 64
    card = (dataset / "README.md").read_text()
    assert "<script>" not in card
    assert "\x1b" not in card
    assert list(verify_folder(dataset)) == []
    shown = CliRunner().invoke(build(load_plugins()), ["inspect", str(zoo / "net.safetensors")]).stdout
    assert shown.replace("\n", "").isprintable()
    assert r"\U0000202eabc.weight" in shown
    assert max(map(len, shown.splitlines())) < 300
