"""The command line: what is printed where, exit codes, and that a run can be stopped."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from filtercrawl.api.errors import FiltercrawlError, UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.extraction.rules import RULES
from support.onnx_models import model, node, random_array, tensor
from support.paths import REPOSITORY
from support.zoo_files import models, put, state

pytestmark = pytest.mark.usefixtures("forked_children")


@pytest.fixture
def call(plugins: Plugins, dataset: Path):
    def run(*words: object) -> Result:
        return CliRunner().invoke(build(plugins), [str(word) for word in words])

    return run


def test_sync_says_how_to_load_the_result(call, zoo: Path, dataset: Path) -> None:
    put(zoo / "net.safetensors", state())
    result = call("sync", f"local:{zoo}", "--dataset", dataset)
    assert result.exit_code == 0
    assert "2 layers and 16 kernels written" in result.stdout
    assert f'load_dataset("{dataset}", "layers", split="train")' in result.stdout
    assert "[1/1] local/net.safetensors: emitted" in result.stderr
    result = call("sync", f"local:{zoo}", "--dataset", dataset)
    assert f"nothing to do: {dataset} is up to date" in result.stdout


def test_no_more_than_all_of_a_file_is_said_to_be_read(call, zoo: Path, dataset: Path) -> None:
    """Every reader looks at the head of a local file, and all of a tiny one is in it."""
    put(zoo / "tiny.safetensors", {"conv.weight": torch.ones(1, 1, 3, 3)})
    assert "(100.0 %)" in call("sync", f"local:{zoo}", "--dataset", dataset).stdout
    (zoo / "tiny.safetensors").unlink()
    put(zoo / "net.safetensors", state() | {"head.weight": torch.ones(500, 500)})
    assert " %)" in call("sync", f"local:{zoo}", "--dataset", dataset).stdout


def test_json_is_one_object_on_stdout(call, zoo: Path, dataset: Path) -> None:
    put(zoo / "net.safetensors", state() | {"head.weight": torch.ones(500, 500)})
    found = json.loads(call("sync", f"local:{zoo}", "--dataset", dataset, "--json").stdout)
    assert {
        "discovered",
        "new",
        "changed",
        "unchanged",
        "removed",
        "renamed",
        "duplicate",
        "failed",
        "skipped",
    } <= found["checkpoints"].keys()
    assert found | {"layers": 2, "kernels": 16, "requests": 0} == found
    assert found["bytes_fetched"] < found["bytes_offered"] == (zoo / "net.safetensors").stat().st_size
    assert found["seconds"] > 0
    sources = json.loads(call("sources", "--json").stdout)["sources"]
    assert {"name": "local", "plugin": "local", "offers": None, "unavailable": None} in sources
    status = json.loads(call("status", "--dataset", dataset, "--json").stdout)
    assert status | {"layers": 2, "kernels": 16, "sources": {"local": {"emitted": 1}}} == status


def test_failed_checkpoints_make_exit_code_3(call, zoo: Path, dataset: Path) -> None:
    put(zoo / "net.safetensors", state())
    (zoo / "bad.pth").write_bytes(b"PK\3\4 no more")
    result = call("sync", f"local:{zoo}", "--dataset", dataset)
    assert result.exit_code == 3
    assert len([line for line in result.stdout.splitlines() if "local/bad.pth" in line]) == 1
    result = call("sync", f"local:{zoo}", "--dataset", dataset)
    assert result.exit_code == 0  # not new
    assert "\n1 failed before and wait for their next attempt; --retry all tries them now\n" in result.stdout
    assert call("sync", f"local:{zoo}", "--dataset", dataset, "--fail-on", "any").exit_code == 3
    assert "failed: local/bad.pth" in call("status", "--dataset", dataset).stdout
    assert models(dataset)["local/net.safetensors"]["outcome"] == "emitted"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sync", "nowhere:x"], "no source is named 'nowhere'"),
        (["sync", "local"], "local needs a path"),
        (["sync", "local:no/such/place"], "no/such/place"),
        (["sync", "packages:no-such-distribution"], "no-such-distribution"),
        (["sync", "local:.", "--kernel-size", "5x5"], "--kernel-size"),
        (["sync", "local:.", "--device", "abacus"], "--device abacus"),
        (["sync", "local:.", "--engine", "spark"], "--engine"),
        (["inspect", "local:."], "names no checkpoint"),
        (["inspect", "no-such.pth"], "no such file, and no source of this name; installed are cnn-filter-db, hub"),
        (["plugin", "check", "no-module"], "no-module: not the name of a module"),
        (["plugin", "check", "no_module"], "no_module: ModuleNotFoundError"),
        (
            ["plugin", "check", "onnx_zoo"],
            "the plugin of this name is the module filtercrawl_plugins.sources.onnx_zoo.source",
        ),
        (["--plugin", "a b", "sources"], "a b: not the name of a module"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(call, words: list[str], said: str) -> None:
    result = call(*words)
    assert isinstance(result.exception, FiltercrawlError)
    assert result.exception.exit_code == 2
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect", "m"], "m: is a folder; name one file in it, as a single checkpoint is inspected"),
        (["inspect", "local:m"], "local:m: names 2 checkpoints (a.pth, b.pth); name one"),
        (["inspect", "local:."], "local:.: names 4 checkpoints (c.pth, d.pth, m/a.pth, ...); name one"),
        (["sync", "m"], "'m': no source is named 'm'; to name the folder, use local:m"),
        (["sync", "./m"], "'./m': no source is named './m'; to name the folder, use local:./m"),
        (["sync", "m/a.pth"], "'m/a.pth': no source is named 'm/a.pth'; to name the file, use local:m/a.pth"),
        (["sync", "m\0"], "no source is named"),
        (["inspect", "m\0"], "no such file"),
        (["sync", "m" * 5000], "no source is named"),
        (["inspect", "m" * 5000], "no such file"),
        (["inspect", "pipe"], "pipe: is no regular file"),
    ],
)
def test_a_path_is_no_selector_and_the_error_names_one(
    call, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.pth").touch()
    (tmp_path / "m" / "b.pth").touch()
    (tmp_path / "c.pth").touch()
    (tmp_path / "d.pth").touch()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_run_that_read_nothing_of_what_is_left_is_not_up_to_date(call, zoo: Path, dataset: Path) -> None:
    put(zoo / "net.safetensors", state())
    result = call("sync", f"local:{zoo}", "--dataset", dataset, "--limit", "0")
    assert "1 still to do" in result.stdout
    assert "up to date" not in result.stdout


def test_a_source_that_cannot_be_listed_is_not_up_to_date(call, dataset: Path) -> None:
    words = ["sync", "onnx", "--dataset", dataset, "--max-requests", "0"]
    result = call(*words)
    assert result.exit_code == 3
    assert "source onnx did not finish its listing" in result.stdout
    assert "up to date" not in result.stdout


def test_one_is_not_written_as_many(call, zoo: Path, dataset: Path) -> None:
    put(zoo / "net.safetensors", {"stem.weight": torch.ones(1, 1, 3, 3)})
    assert "\n1 layer and 1 kernel written" in call("sync", f"local:{zoo}", "--dataset", dataset).stdout
    assert "1 checkpoint, 1 layer, 1 kernel\n" in call("status", "--dataset", dataset).stdout
    assert ": safetensors, 1 tensor\n" in call("inspect", zoo / "net.safetensors").stdout


def test_sources_says_which_need_a_pattern(call) -> None:
    said = call("sources").stdout
    assert [line.split()[0] for line in said.splitlines() if "what its pattern names" in line] == [
        "cnn-filter-db", "hub", "local",
    ]  # fmt: skip
    assert "onnx             offers what it finds " in said


def test_help_tells_every_command_in_a_whole_sentence(call) -> None:
    said = call("--help").stdout
    assert "..." not in said.replace("[ARGS]...", "")
    assert " Check a dataset: files, hashes" in said
    assert "Did you mean 'verify'?" in call("verfy").output


def test_inspect_shows_every_tensor(call, zoo: Path) -> None:
    file = put(zoo / "net.safetensors", state())
    found = json.loads(call("inspect", file, "--json").stdout)
    assert found["format"] == "safetensors"
    assert {row["tensor"]: row["reason"] for row in found["tensors"]}["mix.weight"] == "pointwise"
    assert {row["rule"] for row in found["tensors"]} <= RULES.keys()
    text = call("inspect", f"local:{file}").stdout
    assert re.search(r"^  tensor +shape +dtype +rule +outcome$", text, re.MULTILINE)
    assert re.search(r" float32 +weight +emitted as conv2d 5x5$", text, re.MULTILINE)
    assert "skipped: linear" in text
    assert "emitted as conv2d 1x1" in call("inspect", file, "--kernel-size", "all").stdout


def test_inspect_tells_what_a_reader_notes(call, zoo: Path) -> None:
    rounded = [
        node("QuantizeLinear", ["w", "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"], "d"),
        node("Conv", ["x", "d"], "y"),
    ]
    scale = [tensor("s", np.float32(0.5)), tensor("z", np.int8(0))]
    file = zoo / "net.onnx"
    file.write_bytes(model(rounded, [tensor("w", random_array(4, 2, 3, 3)), *scale]).SerializeToString())
    assert "emitted as conv2d 3x3 (fake_quantized)\n" in call("inspect", file).stdout
    notes = {row["tensor"]: row["notes"] for row in json.loads(call("inspect", file, "--json").stdout)["tensors"]}
    assert notes == {"w": ["fake_quantized"], "s": [], "z": []}


def test_names_from_files_cannot_speak_to_the_terminal(call, zoo: Path) -> None:
    file = put(zoo / "net.safetensors", {"\x1b[31mred.weight": state()["stem.weight"]})
    assert "\x1b" not in call("inspect", file).stdout


def test_an_error_is_one_line_without_a_traceback(zoo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "filtercrawl", "status", "--dataset", str(zoo)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_ends_cleanly_and_goes_on_later(
    call,
    zoo: Path,
    dataset: Path,
    number: signal.Signals,
    code: int,
) -> None:
    for i in range(400):
        put(zoo / f"{i:03}.safetensors", state(i, width=32))
    words = ["sync", f"local:{zoo}", "--dataset", str(dataset), "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "filtercrawl", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    while "[3/400]" not in process.stderr.readline():
        time.sleep(0)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the next run continues from here" in said
    settled = len(models(dataset))
    assert 3 <= settled < 400
    result = call(*words, "--limit", "5")
    assert (result.exit_code, len(models(dataset))) == (0, settled + 5)


def test_the_commands_page_is_up_to_date() -> None:
    docs = REPOSITORY / "docs"
    page = runpy.run_path(str(docs / "commands.py"))["page"]()
    assert (docs / "commands.md").read_text("utf-8") == page, "run `python docs/commands.py`"
