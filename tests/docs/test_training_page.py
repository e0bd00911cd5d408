"""The commands of docs/howto/training.md run, with a shorter training, and show what the page says."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from support.paths import REPOSITORY
from support.plugins import BUNDLED

PAGE = (REPOSITORY / "docs/howto/training.md").read_text("utf-8")
EXAMPLE = runpy.run_path(str(REPOSITORY / "examples/training_run.py"))


def type_line(line: str) -> None:
    """Run a command of the page; the training takes four steps in place of a thousand."""
    program, *words = shlex.split(line)
    if program == "python":
        assert words == ["examples/training_run.py", "runs"]
        EXAMPLE["train"](Path(words[1]), steps=4, n_images=64)
        return
    done = CliRunner().invoke(build(load_plugins(BUNDLED)), words)
    assert done.exit_code == 0, done.output


def test_the_commands_of_the_page_follow_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FILTERCRAWL_JOBS", "1")
    first, second = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in first.splitlines():
        type_line(line)
    tables = Path("kernels/analysis/tables")
    steps = pq.read_table(tables / "training_steps.parquet")
    kept = EXAMPLE["steps_to_keep"](4)
    assert steps["step"].to_pylist() == sorted(kept)
    assert set(steps["run_id"].to_pylist()) == {"digits"}
    assert set(steps["metric"].to_pylist()) == {"accuracy on drawn digits"}
    report = Path("kernels/analysis/report.html").read_text("utf-8")
    assert "Kernels over training" in report
    assert "in run digits by training step" in report
    for line in second.splitlines():
        type_line(line)
    names: dict[str, Any] = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, names)
    assert set(names["quality"].step) == kept


@pytest.mark.parametrize("last", [100, 1000, 123_456])
def test_thirty_steps_are_kept(last: int) -> None:
    kept = EXAMPLE["steps_to_keep"](last)
    assert {0, 1, last} <= kept
    assert len(kept) == 30
