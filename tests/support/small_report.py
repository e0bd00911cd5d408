"""A report of one analysis, written without a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filtercrawl.api.analysis import AnalysisOptions, Result, SampleSize
from filtercrawl.config import now
from filtercrawl_analysis.report.report_folder import ReportFolder
from filtercrawl_analysis.report.results import ReportInput
from filtercrawl_analysis.report.run_analyses import AnalysisRun
from filtercrawl_analysis.report.writer import write_report

BASIS = SampleSize(kernels=1024, layers=12, models=3)


def write_small_report(root: Path, result: Result, name: str = "layers", **settings: Any) -> Path:
    """Write the report of one analysis into a folder and return the path of its page."""
    content = ReportInput(
        dataset_id="d",
        dataset_state="s",
        version="0",
        made=now(),
        options=AnalysisOptions(),
        basis=BASIS,
        selection={"total": 12, "models": 3},
        coverage=(),
        sections=(AnalysisRun(name=name, title=name.capitalize(), result=result, seconds=0),),
        **settings,
    )
    folder = ReportFolder(root=root, prefix="")
    write_report(folder, content)
    return root / folder.page
