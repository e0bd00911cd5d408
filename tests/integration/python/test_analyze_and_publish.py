"""The functions `analyze`, `publish`, `verify` and `diff`: what the commands tell, and what can be read afterwards."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import filtercrawl
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress
from filtercrawl.cli.app import build
from support.zoo_files import put, state

pytestmark = pytest.mark.usefixtures("forked_children")


@pytest.fixture
def kernels(zoo: Path) -> Path:
    """A dataset of two networks, in the folder `kernels`."""
    for seed in range(2):
        put(zoo / f"{seed}.safetensors", state(seed, width=8))
    filtercrawl.sync(f"local:{zoo}", dataset="kernels", device="cpu")
    return Path("kernels")


def command(plugins: Plugins, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(build(plugins), [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def without_seconds(content: dict[str, Any]) -> dict[str, Any]:
    analyses = [{**analysis, "seconds": 0} for analysis in content["analyses"]]
    return {**content, "analyses": analyses, "seconds": 0}


def test_analyze_tells_what_the_command_tells(kernels: Path, plugins: Plugins) -> None:
    report = filtercrawl.analyze(kernels, by=["format"], resamples=20, only=["census"])
    words = ["analyze", "--dataset", str(kernels), "--by", "format", "--resamples", "20", "--only", "census"]
    assert without_seconds(report.to_dict()) == without_seconds(command(plugins, *words))
    with pytest.raises(filtercrawl.UsageError, match="no column is named 'colour'"):
        filtercrawl.analyze(kernels, by=["colour"])
    with pytest.raises(filtercrawl.FiltercrawlError, match="device"):
        filtercrawl.analyze(kernels, device="abacus")


class Interrupting(NullProgress):
    """Interrupts the program when the first analysis is done."""

    def done(self, model_id: str, what: str) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupted_analysis_writes_nothing(kernels: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        filtercrawl.analyze(kernels, only=["census"], progress=Interrupting())
    assert not (kernels / "analysis").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.exhaustive
def test_publish_to_a_folder_and_read_it_back(kernels: Path, plugins: Plugins, zoo: Path) -> None:
    planned = filtercrawl.publish(kernels, "./published", version="v1.0", dry_run=True)
    words = ["publish", "./published", "--dataset", str(kernels), "--version", "v1.0", "--dry-run"]
    assert planned.to_dict() == command(plugins, *words)
    assert not Path("published").exists()
    result = filtercrawl.publish(kernels, "./published", version="v1.0")
    assert (result.outcome, result.version) == ("published", "v1.0")
    assert filtercrawl.open_dataset("published").index().num_rows == filtercrawl.open_dataset(kernels).index().num_rows
    assert not filtercrawl.verify("published", load=False).issues

    put(zoo / "new.safetensors", state(7, width=8))
    filtercrawl.sync(f"local:{zoo}", dataset="kernels", device="cpu")
    difference = filtercrawl.diff("published", kernels)
    assert difference.to_dict() == command(plugins, "diff", "published", str(kernels))
    assert "local/new.safetensors" in str(difference.to_dict())
    with pytest.raises(filtercrawl.UsageError, match="max_disk: 'much' is not"):
        filtercrawl.publish(kernels, "./published", max_disk="much")


def test_analyze_checks_its_arguments_and_reads_as_text(kernels: Path) -> None:
    with pytest.raises(filtercrawl.UsageError, match="resamples: -1"):
        filtercrawl.analyze(kernels, resamples=-1)
    report = filtercrawl.analyze(kernels, by="format", only=["census"], resamples=20)
    assert str(report).splitlines()[-1] == f"report: {report.page}"
    assert "models" in str(report).splitlines()[0]
