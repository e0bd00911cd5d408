"""Commands that change or publish a dataset create nothing where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        ["publish", "./published"],
        ["publish", "./published", "--dry-run"],
        ["withdraw", "local/net.safetensors", "--reason", "asked for"],
        ["migrate"],
        ["analyze"],
        ["status"],
    ],
)
def test_a_command_without_a_dataset_creates_nothing(
    arguments: list[str], exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if exists:
        Path("empty").mkdir()
    result = CliRunner().invoke(build(load_plugins()), [*arguments, "--dataset", "empty"])
    assert isinstance(result.exception, DatasetError)
    assert str(result.exception).startswith("empty: no dataset here")
    assert "\n" not in str(result.exception)
    assert list(Path().rglob("*")) == ([Path("empty")] if exists else [])
