"""A whole run of analyses, while nobody else writes to the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import pyarrow.compute as pc

from filtercrawl.api.analysis import Analysis, AnalysisOptions, DatasetView, SampleSize
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.config import Settings, now
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_catalog
from filtercrawl.dataset.files.lock import locked
from filtercrawl.display.progress_bar import ProgressBar
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.report.run_analyses import run_analyses
from filtercrawl_analysis.report.writer import ReportInput, WrittenReport, write_report


def run(
    analyses: Sequence[Analysis],
    settings: Settings,
    options: AnalysisOptions,
    watch: ProgressBar,
    cancellation: CancellationToken,
) -> tuple[WrittenReport, dict[str, float]]:
    """Run analyses over the dataset of `settings` and write the report into it.

    Returns:
        What was written, and the seconds each analysis took by its name.

    Raises:
        Cancelled: The run was cancelled; nothing was written.
        ConflictError: Another process is working on the dataset.
        DatasetError: The folder cannot be read or written.
    """
    dataset = settings.dataset

    def progress(done: int, total: int, what: str) -> None:
        cancellation.raise_if_cancelled()
        watch.step(done, total, what)

    with locked(dataset), open_catalog(settings) as catalog:
        export_if_needed(dataset, catalog)  # a killed run may have left tables that are older than the catalog
        view = FolderDatasetView(dataset, options, progress)
        watch.start(len(analyses))
        sections = []
        for section in run_analyses(analyses, view, watch):
            sections.append(section)
            cancellation.raise_if_cancelled()
        watch.message("writing tables and figures")
        catalog.set_meta("stale", "1")  # the list of files will be: if this run is killed, the next one mends it
        found = ReportInput(
            dataset_id=catalog.dataset_id,
            version=version("filtercrawl"),
            made=now(),
            options=options,
            basis=check_layers_complete(view),
            sections=tuple(sections),
        )
        written = write_report(dataset, found, watch.step)
        export_if_needed(dataset, catalog)
    return written, {section.name: section.seconds for section in sections}


def check_layers_complete(view: DatasetView) -> SampleSize:
    """Count all that analyses are shown."""
    index = view.index
    return SampleSize(
        kernels=pc.sum(index["n_kernels"]).as_py() or 0,
        layers=index.num_rows,
        models=pc.count_distinct(index["model_id"]).as_py(),
    )
