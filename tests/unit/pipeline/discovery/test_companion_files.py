"""Files that a checkpoint names as its parts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import NetworkSettings
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.discovery.companion_files import find_companion_files
from filtercrawl.transport import network

LONG = "d/" * 300_000 + "x"


@pytest.fixture
def index(tmp_path: Path) -> Checkpoint:
    path = tmp_path / "model.index.json"
    path.write_text("{}")
    (tmp_path / "part").write_bytes(b"x")
    return Checkpoint(name=path.name, files=(RemoteFile(url=path.as_uri(), size=2, path=path.name),))


def test_a_path_of_many_folders_takes_no_time(index: Checkpoint) -> None:
    began = time.process_time()
    assert [file.path for file in find_companion_files(index, [LONG, "part"])] == ["part"]
    assert time.process_time() - began < 1


def test_a_missing_file_is_named_in_one_short_line(index: Checkpoint) -> None:
    with (
        CheckpointFiles(index, load_plugins().readers, network(NetworkSettings())) as files,
        pytest.raises(CheckpointError, match=r"needs the file 'd/d/.*….*/d/x', which is not beside it") as caught,
    ):
        files.open(LONG)
    assert len(str(caught.value)) < 400
