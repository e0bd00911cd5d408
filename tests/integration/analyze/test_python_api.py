"""`filtercrawl_analysis.analyze`: the report that it returns is what it wrote."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import filtercrawl_analysis
from conftest import Sync
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, DatasetError, UsageError
from filtercrawl_analysis import AnalysisReport, analyze
from filtercrawl_analysis.report.report_folder import ReportFolder
from support.zoo_files import put, state


@pytest.fixture
def crawled(zoo: Path, dataset: Path, run_sync: Sync) -> Path:
    put(zoo / "net.safetensors", state())
    run_sync()
    return dataset


def test_the_report_is_what_was_written(crawled: Path) -> None:
    report = analyze(crawled, only=["census"], by=["task"], seed=3)
    assert isinstance(report, AnalysisReport)
    assert report.results == json.loads((crawled / "analysis/results.json").read_text())
    assert report.results["options"]["seed"] == 3
    assert report.findings == tuple(finding["text"] for finding in report.results["analyses"][0]["findings"])
    assert set(report.tables) == {"census"}
    assert report.tables["census"].equals(pq.read_table(crawled / "analysis/tables/census.parquet"))
    assert all((crawled / path).is_file() for path in report.paths)
    assert report.page.is_file()
    assert report.left_out == {}
    assert set(report.seconds_by_analysis) == {"census"}
    assert report.sample_size.kernels == report.results["basis"]["kernels"] > 0


def test_what_there_is_nothing_of_is_said_by_its_section_and_is_no_finding(crawled: Path) -> None:
    report = analyze(crawled, only=["drift", "census"], by=["task"], resamples=20)
    assert "\nDrift between groups: Nothing to analyze: no column has two groups to compare.\n" in str(report)
    assert len(report.findings) == 1  # what the dataset holds
    page = report.page.read_text("utf-8")
    section = page.index('id="analysis-drift"')
    assert page.count("Nothing to analyze") == 1
    assert page.index("Nothing to analyze") > section


def test_tables_come_as_pandas(crawled: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is optional")
    report = analyze(crawled, only=["census"])
    frame = report.to_pandas("census")
    assert list(frame.columns) == report.tables["census"].column_names
    with pytest.raises(KeyError):
        report.to_pandas("tides")


def test_a_notebook_shows_escaped_text() -> None:
    name = "<script>alert(1)</script>\x1b[31m"
    results = {
        "basis": {"kernels": 12, "layers": 2, "models": 1},
        "analyses": [{"name": "a", "title": "A", "findings": [{"text": f"Most are {name}."}], "note": None}],
    }
    report = AnalysisReport(
        dataset=Path("<data>"),
        folder=ReportFolder.of_dataset(Path("<data>")),
        results=results,
        paths=(),
        left_out={name: "why & how"},
        tables={},
        seconds_by_analysis={"a": 1.0},
        seconds=1.0,
    )
    html = report._repr_html_()
    assert "<script" not in html
    assert "\x1b" not in html
    assert escape("<script>alert(1)</script>") in html
    assert "&lt;data&gt;" in html
    assert "why &amp; how" in html
    assert "12 kernels of 2 layers of 1 model<" in html


def test_requests_that_cannot_be_met(crawled: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column is named 'colour'"):
        analyze(crawled, by=["colour"])
    with pytest.raises(UsageError, match="no analysis is named 'tides'"):
        analyze(crawled, only=["tides"])
    with pytest.raises(DatasetError, match="no dataset here"):
        analyze(tmp_path / "nowhere")


def test_a_cancelled_run_writes_nothing(crawled: Path) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(Cancelled):
        analyze(crawled, only=["census"], cancellation=token)
    assert not (crawled / "analysis").exists()


def test_the_package_exports_what_it_says() -> None:
    for name in filtercrawl_analysis.__all__:
        assert getattr(filtercrawl_analysis, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = filtercrawl_analysis.nothing_here
