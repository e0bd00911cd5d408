"""The process that loads a version, where it ends without an answer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from filtercrawl.api.errors import NetworkError
from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.load_check import LoadCheckJob, _load
from filtercrawl_publish.publishing.load_sample import ConfigFiles


def test_a_process_that_ends_before_it_has_read_its_task_is_told_by_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets.py").write_text("raise ImportError('no such library')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    files = tuple(File(path=f"data/{number}", size=1, sha256="0" * 64) for number in range(2000))  # no pipe holds it
    job = LoadCheckJob(
        folder=str(tmp_path), configs=[ConfigFiles(name="a", split="train", files=files, whole=True)], counts={}
    )
    with pytest.raises(NetworkError, match="here: could not be loaded: ImportError: no such library"):
        _load("here", job, tmp_path)


def test_a_signal_to_the_group_of_the_run_does_not_end_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "datasets.py").write_text("import os\nraise ImportError(os.getpgid(0))")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    job = LoadCheckJob(folder=str(tmp_path), configs=[], counts={})
    with pytest.raises(NetworkError) as error:
        _load("here", job, tmp_path)
    assert int(str(error.value).rpartition(" ")[2]) != os.getpgid(0)
