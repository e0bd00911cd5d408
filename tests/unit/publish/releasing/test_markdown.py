"""The summary of a release in Markdown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl_publish.releasing.markdown import release_summary, write_summary
from filtercrawl_publish.releasing.report import ReleaseReport


def report() -> ReleaseReport:
    return ReleaseReport(
        repository="org/kernels", started=datetime(2026, 11, 23, tzinfo=UTC), settings=Settings(), outcome="published"
    )


def test_a_published_version() -> None:
    release = report()
    release.version, release.base_version = "v2026", "v2025"
    release.sync_report = SyncReport(layers=1200, kernels=3, bytes_fetched=5_000_000, requests=7)
    release.sync_report.checkpoints.update(new=2, failed=1)
    release.seconds |= {"sync": 1.25, "publish": 2.0}
    release.failed_models = {"local/a": "HTTP 500", "local/b": None}
    release.sync_report.failures = {"local/a": "HTTP 500"}
    release.sync_report.new_failures = ["local/a"]
    assert release_summary(release.to_dict()) == (
        "# org/kernels: published v2026\n\n"
        "| | |\n|---|---|\n"
        "| last version | v2025 |\n"
        "| checkpoints | 2 new, 1 failed |\n"
        "| written | 1,200 layers, 3 kernels |\n"
        "| read | 5.0 MB in 7 requests |\n"
        "| remaining | 0 |\n"
        "| seconds | sync 1.2, publish 2.0, total 3.2 |\n"
        "\n## New failures (1)\n\n- local/a: HTTP 500\n"
        "\n## Earlier failures (1)\n\n- local/b\n"
    )


def test_an_unchanged_dataset() -> None:
    release = report()
    release.outcome, release.reason = "unchanged", "no changes since v1"
    text = release_summary(release.to_dict())
    assert text.startswith("# org/kernels: no changes, nothing published\n\nno changes since v1\n\n| | |\n")
    assert "| last version | none |\n| checkpoints | none |\n" in text


def test_a_version_that_an_earlier_run_had_not_tagged() -> None:
    release = report()
    release.outcome, release.reason, release.finished = "unchanged", "no changes since v1", "v1"
    said = "v1 was committed by an earlier run and has its tag now.\n\n"
    text = release_summary(release.to_dict())
    assert text.startswith(f"# org/kernels: finished v1, no changes since\n\n{said}no changes since v1\n\n| | |\n")
    release.outcome, release.version, release.reason = "published", "v2", None
    assert release_summary(release.to_dict()).startswith(f"# org/kernels: published v2\n\n{said}| | |\n")


def test_long_lists_are_counted_and_escaped() -> None:
    release = report()
    release.failed_models = {f"<b>{number:04}": "[x](y)" for number in range(1021)}
    lines = release_summary(release.to_dict()).splitlines()
    assert "## Earlier failures (1,021)" in lines
    assert lines[-1] == "- and 1,001 more"
    assert "- &lt;b&gt;0000: \\[x\\](y)" in lines
    assert len([line for line in lines if line.startswith("- ")]) == 21


def test_private_texts_are_removed() -> None:
    release = report()
    release.private_texts, release.reason = ("/home/ada/models",), "cannot read /home/ada/models/a.npz"
    assert release.to_dict()["why"] == "cannot read …/a.npz"


def test_write_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    write_summary("a\n", path)
    write_summary("b\n", path, append=True)
    assert path.read_text() == "a\nb\n"
    write_summary("c\n", path)
    assert path.read_text() == "c\n"
    with pytest.raises(UsageError, match="cannot be written"):
        write_summary("a", tmp_path / "no/folder.md")
