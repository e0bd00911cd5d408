"""Log lines of publishing."""

from __future__ import annotations

import logging

import pytest

from filtercrawl.dataset.files.parquet import File
from filtercrawl_publish.publishing.run_log import log_comparison, log_step
from filtercrawl_publish.publishing.upload import FileChanges

ADDED = File(path="data/a.parquet", size=2_000_000, sha256="0" * 64)


def test_a_comparison_and_a_step(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_comparison("org/kernels", "v1", FileChanges(add={ADDED.path: ADDED}, delete=("data/b.parquet",), same=3))
    with log_step("org/kernels", "v1", "upload", files=1, bytes=ADDED.size):
        pass
    compared, uploaded = caplog.records
    assert compared.getMessage() == "org/kernels: 1 file to upload for v1, 2.0 MB; 1 removed, 3 unchanged"
    assert uploaded.getMessage() == "org/kernels: upload of v1 done, 1 file, 2.0 MB, 0.0 s"
    assert vars(uploaded).items() >= {"step": "upload", "files": 1, "bytes": 2_000_000, "outcome": "done"}.items()


def test_a_step_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(KeyError), log_step("org/kernels", "v1", "commit"):
        raise KeyError
    (record,) = caplog.records
    assert record.getMessage().startswith("org/kernels: commit of v1 failed, ")
