"""The file for Prometheus."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.run_row import RUN_STAGES, RunRow
from filtercrawl.pipeline.report import WORDS
from filtercrawl.pipeline.run_metrics import metrics_text, write_metrics

ROW = RunRow(
    run=3,
    started=datetime(2026, 1, 2, tzinfo=UTC),
    outcome="finished",
    filtercrawl_version="1",
    new=2,
    failed=1,
    bytes_fetched=12_345_678_901,
    seconds=6.5,
    seconds_list=1.5,
    seconds_crawl=5.0,
)
# The text format as its specification has it: comment lines, and samples with escaped label values.
LINE = re.compile(
    r"# (?:HELP [a-z_:]+ [^\n]*|TYPE [a-z_:]+ gauge)"
    r"|(?P<name>[a-z_:]+)\{(?P<labels>[a-z]+=\"(?:[^\"\\\n]|\\[\\\"n])*\"(?:,[a-z]+=\"(?:[^\"\\\n]|\\[\\\"n])*\")*)\} "
    r"(?P<value>[0-9.e+-]+)"
)


def samples(text: str) -> dict[tuple[str, str], float]:
    """The samples of a text, by name and last label."""
    found = {}
    for line in text.removesuffix("\n").split("\n"):
        match = LINE.fullmatch(line)
        assert match, line
        if match["name"]:
            found[match["name"], match["labels"].rpartition(",")[2]] = float(match["value"])
    return found


def test_the_file_has_what_the_run_counted() -> None:
    found = samples(metrics_text(ROW, "abc"))
    assert found["filtercrawl_run_checkpoints", 'outcome="new"'] == 2
    assert found["filtercrawl_run_bytes_fetched", 'dataset="abc"'] == 12_345_678_901
    assert found["filtercrawl_run_outcome", 'outcome="finished"'] == 1
    assert found["filtercrawl_run_outcome", 'outcome="failed"'] == 0
    assert found["filtercrawl_run_start_time_seconds", 'dataset="abc"'] == ROW.started.timestamp()
    stages = sum(found["filtercrawl_run_stage_seconds", f'stage="{name}"'] for name in RUN_STAGES)
    assert stages == found["filtercrawl_run_duration_seconds", 'dataset="abc"'] == 6.5
    assert {label for name, label in found if name == "filtercrawl_run_checkpoints"} == {
        f'outcome="{w}"' for w in WORDS
    }


@given(st.text())
def test_any_label_is_escaped(dataset_id: str) -> None:
    samples(metrics_text(ROW, dataset_id))


def test_the_file_is_replaced_as_a_whole_and_others_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "filtercrawl.prom"
    write_metrics(path, "old\n")
    with path.open() as reader:
        write_metrics(path, "new\n")
        assert reader.read() == "old\n"
    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none/a\.prom: cannot be written"):
        write_metrics(tmp_path / "none/a.prom", "")
