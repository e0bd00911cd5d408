"""What becomes of files that are not what their names say: one clear line, and never a result that misleads."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from conftest import NOW, Sync
from filtercrawl.api.errors import FormatError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.python_api.inspect import inspect
from filtercrawl.python_api.status import status
from support.zoo_files import models, put, state

Call = Callable[..., Result]
PAGE = "<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title></html>"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 102530333\n"


@pytest.fixture
def call(plugins: Plugins) -> Call:
    return lambda *words: CliRunner().invoke(build(plugins), [str(word) for word in words])


def outcomes(dataset: Path) -> dict[str, str]:
    return {row["name"]: row["outcome"] for row in models(dataset).values()}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.safetensors", POINTER, "Git LFS pointer"),
        ("net.pth", PAGE, "HTML page"),
        ("net.bin", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "error message of a server"),
        ("net.ckpt", "", "empty"),
        ("net.gguf", "GGUF" + "x" * 64, "GGUF"),
        ("net.msgpack", "x" * 64, "no known format"),
    ],
)
def test_weight_files_that_are_something_else_fail_with_what_they_are(
    name: str, content: str, said: str, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    (zoo / name).write_text(content)
    report = run_sync()
    assert said in report.failures[f"local/{name}"]
    assert outcomes(dataset) == {name: "failed"}


@pytest.mark.parametrize("name", ["notes.md", "config.json", "weights.xyz"])
def test_a_file_that_is_named_is_never_passed_over(call: Call, name: str, zoo: Path, dataset: Path) -> None:
    (zoo / name).write_text("{}" if name.endswith("json") else "some text")
    result = call("sync", f"local:{zoo / name}", "--dataset", dataset)
    assert result.exit_code == 3
    assert f"failed: local/{name}: the file is" in result.stdout
    assert outcomes(dataset) == {name: "failed"}
    again = call("sync", f"local:{zoo / name}", "--dataset", dataset).stdout
    assert "up to date" not in again
    assert "1 failed before" in again
    with pytest.raises(FormatError, match=f"^{name}: the file is"):
        inspect(zoo / name)


def test_status_tells_what_was_ignored_in_a_folder(call: Call, zoo: Path, dataset: Path) -> None:
    (zoo / "a.json").write_text("{}")
    (zoo / "b.json").write_text("{}")
    (zoo / "notes.md").write_text("x")
    said = call("sync", f"local:{zoo}", "--dataset", dataset).stdout
    assert (
        f"\nlocal:{zoo}: no checkpoint was found; ignored: a JSON document (2), of no known format (1); name a" in said
    )
    assert "up to date" not in said
    put(zoo / "net.safetensors", state())
    call("sync", f"local:{zoo}", "--dataset", dataset)
    assert status(dataset).ignored == {"a JSON document": 2, "of no known format": 1}
    assert "\nignored: a JSON document (2), of no known format (1)" in str(status(dataset))


def test_a_shard_without_kernels_is_no_result(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    name = "model-00002-of-00003.safetensors"
    put(zoo / name, {"head.weight": torch.ones(4, 4)})
    report = run_sync()
    assert "part 2 of 3" in report.failures[f"local/{name}"]
    assert "model.safetensors.index.json" in report.failures[f"local/{name}"]


def test_a_shard_that_is_named_is_read_alone(
    zoo: Path, dataset: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    for part, name in enumerate(names):
        save_file({f"{part}.weight": torch.full((2, 3, 3, 3), 1.0 + part)}, zoo / name)
    index = {"weight_map": {f"{part}.weight": name for part, name in enumerate(names)}}
    (zoo / "model.safetensors.index.json").write_text(json.dumps(index))
    run_sync(f"local:{zoo / names[0]}")
    assert outcomes(dataset) == {names[0]: "emitted"}
    told = f"{names[0]}: is only part 1 of 2 of a checkpoint; to read all parts, name model.safetensors.index.json"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [told]
    caplog.clear()
    inspect(zoo / names[0])
    assert told in caplog.text
    caplog.clear()
    run_sync()
    assert "part 1 of 2" not in caplog.text


def test_a_shard_that_was_not_downloaded_is_named(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "model-00001-of-00001.safetensors").write_text(POINTER)
    index = {"weight_map": {"0.weight": "model-00001-of-00001.safetensors"}}
    (zoo / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "Git LFS pointer" in run_sync().failures["local/model.safetensors.index.json"]
    assert len(models(dataset)) == 1


@pytest.mark.parametrize("tensors", [{}, {"conv.weight": torch.zeros(0), "norm.running_mean": torch.ones(4)}])
def test_weights_that_are_elsewhere_are_no_result(
    tensors: dict[str, torch.Tensor], zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    torch.save(tensors, zoo / "net.pt")
    put(zoo / "net.safetensors", tensors)
    assert run_sync().failures.keys() == {"local/net.pt", "local/net.safetensors"}


def test_tensors_without_numbers_are_no_result(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    torch.save({"conv.weight": torch.ones(4, 3, 3, 3, device="meta"), "conv.bias": torch.ones(4)}, zoo / "net.pt")
    assert "1 of 2 tensors cannot be read, for example 'conv.weight'" in run_sync().failures["local/net.pt"]


def test_flat_vectors_of_fsdp_are_no_result(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    torch.save({"_fsdp_wrapped_module._flat_param": torch.ones(64), "norm.bias": torch.ones(4)}, zoo / "net.pt")
    assert "1 of 2 tensors are flat vectors of FSDP" in run_sync().failures["local/net.pt"]


def test_a_file_without_tensors_fails_however_it_was_saved(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for name, content in {"object": {"args": 1}, "empty": {}}.items():
        torch.save(content, zoo / f"{name}.pth")
        torch.save(content, zoo / f"{name}.ckpt", _use_new_zipfile_serialization=False)
        for protocol in (2, 4):
            (zoo / f"{name}.{protocol}.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    report = run_sync()
    assert (len(report.failures), report.checkpoints["failed"]) == (8, 8)
    assert {reason.partition(";")[0] for reason in report.failures.values()} == {
        "holds no tensors",
        "the file is a pickle without arrays at its beginning",
    }


def test_a_checkpoint_without_convolutions_is_a_result(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", {"head.weight": torch.ones(4, 4)})
    torch.save({"args": 1}, zoo / "training_args.bin")
    assert run_sync(now=NOW).failures == {}
    assert set(outcomes(dataset).values()) == {"no_kernels"}


def test_a_snapshot_of_the_hubs_cache_is_one_checkpoint(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    repository = tmp_path / "hub" / "models--org--net"
    snapshot = repository / "snapshots" / ("0123" * 10)
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    names = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    for part, name in enumerate(names):
        save_file({f"{part}.weight": torch.full((2, 3, 3, 3), 1.0 + part)}, repository / "blobs" / f"{part}")
        (snapshot / name).symlink_to(f"../../blobs/{part}")
    index = {"weight_map": {f"{part}.weight": name for part, name in enumerate(names)}}
    (repository / "blobs" / "2").write_text(json.dumps(index))
    (snapshot / "model.safetensors.index.json").symlink_to("../../blobs/2")
    for path in (snapshot, snapshot / "model.safetensors.index.json"):
        assert run_sync(f"local:{path}").failures == {}
        assert {row["name"]: row["n_layers"] for row in models(dataset).values()} == {"model.safetensors.index.json": 2}
    assert len(inspect(snapshot / "model.safetensors.index.json").tensors) == 2
    run_sync(f"local:{tmp_path / 'hub'}", dataset=tmp_path / "second")
    assert [row["name"] for row in models(tmp_path / "second").values()] == [
        f"models--org--net/snapshots/{snapshot.name}/model.safetensors.index.json"
    ]


def test_a_selector_that_offers_nothing_is_named_beside_one_that_does(call: Call, zoo: Path, dataset: Path) -> None:
    put(zoo / "full/net.safetensors", state())
    (zoo / "empty").mkdir()
    for _ in range(2):
        result = call("sync", f"local:{zoo / 'full'}", f"local:{zoo / 'empty'}", "--dataset", dataset)
        assert result.exit_code == 0
        assert (
            f"local:{zoo / 'empty'}: no checkpoint was found; name a folder with files of weights, or" in result.stdout
        )
        assert f"local:{zoo / 'full'}: " not in result.stdout
    told = json.loads(call("sync", f"local:{zoo / 'empty'}", "--dataset", dataset, "--json").stdout)
    assert list(told["empty"]) == [f"local:{zoo / 'empty'}"]
