"""Commands and functions that need a dataset say in the same words that there is none, and create nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import filtercrawl
from filtercrawl.api.errors import DatasetError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from filtercrawl_publish.export.cnn_filter_db import ExportSelection, select_models


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


MAKE_ONE = "; `filtercrawl sync SELECTOR --dataset DIR` makes one"


@pytest.mark.parametrize(
    "read",
    [
        filtercrawl.status,
        filtercrawl.analyze,
        filtercrawl.verify,
        filtercrawl.load_layers,
        filtercrawl.open_dataset,
        lambda path: filtercrawl.publish(path, "./published"),
        lambda path: filtercrawl.diff(path, path),
        lambda path: select_models(Path(path), ExportSelection()),
    ],
)
def test_functions_say_in_the_same_words_that_there_is_no_dataset(
    read: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("file").touch()
    for path, what in (
        ("./empty", "no dataset here"),
        ("./none", "no dataset here, there is no such folder"),
        ("./file", "no dataset here, but a file; name the folder of a dataset"),
    ):
        with pytest.raises(DatasetError) as raised:
            read(path)
        assert str(raised.value).removeprefix("./") == f"{path[2:]}: {what}{MAKE_ONE}"
    assert {path.name for path in Path().rglob("*")} == {"empty", "file"}


@pytest.mark.parametrize("read", [filtercrawl.analyze, filtercrawl.open_dataset])
def test_a_dataset_of_a_sync_that_found_nothing_is_empty(read: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    filtercrawl.sync(f"local:{tmp_path / 'zoo'}", dataset=tmp_path / "dataset")
    with pytest.raises(DatasetError, match="the dataset is empty, no checkpoint was read yet"):
        read(str(tmp_path / "dataset"))


@pytest.mark.parametrize(
    "command", [["verify", "s3://bucket/kernels"], ["explore", "--dataset", "s3://bucket/kernels"]]
)
def test_a_command_on_folders_does_not_deny_a_dataset_in_an_object_store(command: list[str]) -> None:
    with pytest.raises(DatasetError, match="works on a folder; copy the dataset into one"):
        CliRunner().invoke(build(load_plugins()), command, catch_exceptions=False)
