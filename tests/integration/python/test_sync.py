"""The function `sync`: what the command does, in this process, and an end that leaves a whole dataset."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from typer.testing import CliRunner

import filtercrawl
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress
from filtercrawl.cli.app import build
from support.zoo_files import models, published, put, state


@pytest.fixture
def checkpoints(zoo: Path) -> str:
    for seed in range(6):
        put(zoo / f"{seed}.safetensors", state(seed, width=4 + seed))
    (zoo / "bad.safetensors").write_bytes(b"not a checkpoint")
    return f"local:{zoo}"


def test_it_writes_what_the_command_writes_and_tells_the_same(
    checkpoints: str, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1780000000")
    report = filtercrawl.sync(checkpoints, dataset=tmp_path / "a", device="cpu", kernel_size="3x3")
    arguments = ["sync", checkpoints, "--dataset", str(tmp_path / "b"), "--kernel-size", "3x3", "--json"]
    told: dict[str, Any] = json.loads(CliRunner().invoke(build(plugins), arguments).stdout)
    assert report.to_dict() | {"seconds": 0} == told | {"seconds": 0}
    assert layer_files(tmp_path / "a") == layer_files(tmp_path / "b")
    assert (report.checkpoints["new"], report.checkpoints["failed"]) == (6, 1)


def layer_files(dataset: Path) -> dict[str, str]:
    return {path: digest for path, digest in published(dataset).items() if path.startswith("data/layers/")}


def test_a_keyword_wins_over_the_environment_and_the_file(
    checkpoints: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("filtercrawl.toml").write_text('[sync]\ndataset = "of-the-file"\nlimit = 1\n', "utf-8")
    monkeypatch.setenv("FILTERCRAWL_LIMIT", "2")
    assert filtercrawl.sync(checkpoints, dry_run=True).n_left == 7
    assert filtercrawl.sync(checkpoints).n_left == 5
    assert filtercrawl.sync(checkpoints, limit=3).checkpoints["new"] == 3
    assert filtercrawl.status("of-the-file").checkpoints == 5


def test_a_wrong_setting_is_named(checkpoints: str) -> None:
    for name, value in {"kernel_size": "7x7", "jobs": 0, "max_bytes": "much", "retry": "often"}.items():
        with pytest.raises(filtercrawl.UsageError, match=f"^{name}: {value!r} is not"):
            filtercrawl.sync(checkpoints, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(filtercrawl.UsageError, match="no source is named 'zoo'"):
        filtercrawl.sync("zoo:*")
    with pytest.raises(filtercrawl.UsageError, match=r"^dataset: '' is not a path"):
        filtercrawl.status("")
    assert not Path("filtercrawl-dataset").exists()


def test_nothing_is_printed(checkpoints: str, capfd: pytest.CaptureFixture[str]) -> None:
    filtercrawl.sync(checkpoints)
    assert capfd.readouterr() == ("", "")
    filtercrawl.sync(checkpoints, retry="all", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "local/bad.safetensors: " in err


class AfterTwo(NullProgress):
    """Calls a function when the second checkpoint is done."""

    def __init__(self, action: Any) -> None:
        self.count, self.action = 0, action

    def done(self, model_id: str, what: str) -> None:
        self.count += 1
        if self.count == 2:
            self.action()


def check_whole(report_left: int | None = None) -> None:
    """What was committed is in the dataset, which loads; the next run does the rest."""
    kept = {name for name, row in models(Path("filtercrawl-dataset")).items() if row["outcome"] == "emitted"}
    assert 2 <= len(kept) < 6
    rows = load_dataset("filtercrawl-dataset", "layers", split="train")
    assert {row["model_id"] for row in rows} == kept
    if report_left is not None:
        assert report_left == 7 - len(kept)


def test_cancelling_ends_it_between_checkpoints(checkpoints: str) -> None:
    token = CancellationToken()
    report = filtercrawl.sync(checkpoints, jobs=1, cancellation=token, progress=AfterTwo(token.cancel))
    check_whole(report.n_left)
    assert filtercrawl.sync(checkpoints).n_left == 0
    assert len(models(Path("filtercrawl-dataset"))) == 7


def test_cancelling_a_dry_run_returns_the_estimates_so_far(checkpoints: str) -> None:
    token = CancellationToken()
    report = filtercrawl.sync(checkpoints, dry_run=True, cancellation=token, progress=AfterTwo(token.cancel))
    assert (report.checkpoints["new"], report.n_left) == (2, 7)


def test_a_keyboard_interrupt_leaves_a_whole_dataset(checkpoints: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        filtercrawl.sync(checkpoints, jobs=1, progress=AfterTwo(lambda: signal.raise_signal(signal.SIGINT)))
    check_whole()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert filtercrawl.sync(checkpoints).n_left == 0


def test_it_runs_in_another_thread(checkpoints: str) -> None:
    reports: list[filtercrawl.SyncReport] = []
    thread = threading.Thread(target=lambda: reports.append(filtercrawl.sync(checkpoints)))
    thread.start()
    thread.join()
    assert reports[0].checkpoints["new"] == 6


def test_reports_are_readable_and_escaped(zoo: Path) -> None:
    (zoo / "<img src=x>.safetensors").write_bytes(b"nothing")
    put(zoo / "good.safetensors", state())
    report = filtercrawl.sync(f"local:{zoo}")
    html = report._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html
    assert str(report).splitlines()[0] == "checkpoints: 1 new, 1 failed"
    assert str(report).splitlines()[-1].startswith("2 layers and ")


def test_status_and_inspect_tell_what_the_commands_tell(checkpoints: str, plugins: Plugins, zoo: Path) -> None:
    filtercrawl.sync(checkpoints)
    status = filtercrawl.status()
    assert status.to_dict() == command(plugins, "status")
    assert (status.checkpoints, list(status.failed)) == (7, ["local/bad.safetensors"])
    assert "bad.safetensors" in status._repr_html_()
    file = zoo / "0.safetensors"
    inspection = filtercrawl.inspect(file)
    assert inspection.to_dict() == command(plugins, "inspect", str(file))
    assert "emitted as conv2d 3x3" in str(inspection)
    assert "stem.weight" in inspection._repr_html_()
    with pytest.raises(filtercrawl.UsageError, match="no such file, and no source of this name"):
        filtercrawl.inspect("nothing")


def command(plugins: Plugins, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(build(plugins), [*words, "--json"])
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("selector", [Path("models"), ["local:models"], None])
def test_a_selector_that_is_no_text_is_named(selector: object) -> None:
    with pytest.raises(filtercrawl.UsageError, match=r"selectors: .* is not text"):
        filtercrawl.sync(selector)  # type: ignore[arg-type]
