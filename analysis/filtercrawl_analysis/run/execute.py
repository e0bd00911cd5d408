"""Run analyses while no other process writes to the dataset, then write the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import Analysis, AnalysisOptions, DatasetView, SampleSize
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, now
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_dataset
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.data.effective_counts import effective_counts
from filtercrawl_analysis.engines.open_engine import open_engine
from filtercrawl_analysis.report.analysis_report import AnalysisReport
from filtercrawl_analysis.report.earlier_results import check_can_be_kept
from filtercrawl_analysis.report.kept_figures import KeptFigures
from filtercrawl_analysis.report.kernel_picture import layer_pictures
from filtercrawl_analysis.report.report_folder import Destination, ReportFolder
from filtercrawl_analysis.report.results import ReportInput
from filtercrawl_analysis.report.run_analyses import run_analyses
from filtercrawl_analysis.report.writer import write_report
from filtercrawl_analysis.statistics.groups.coverage import group_coverage


def execute(
    analyses: Sequence[Analysis],
    settings: Settings,
    options: AnalysisOptions,
    *,
    destination: Destination | None = None,
    progress: Progress | None = None,
    cancellation: CancellationToken | None = None,
    started: float | None = None,
    layer_store: LayerStore | None = None,
) -> AnalysisReport:
    """Run analyses over the dataset of `settings` and write the report.

    Args:
        analyses: The analyses to run, in this order.
        settings: Name the dataset folder, and the engine that computes.
        options: What the analyses are asked for.
        destination: Where the report is written. By default `analysis/` of the dataset, which it replaces.
        progress: Receives the progress of the run.
        cancellation: Ends the run between two steps of an analysis.
        started: When the run started, by `time.monotonic`. By default now.
        layer_store: Where the layers files are; None for the dataset folder alone.

    Returns:
        The report that was written.

    Raises:
        Cancelled: The run was cancelled; nothing was written.
        ConflictError: Another process is working on the dataset.
        DatasetError: The folder cannot be read or written, or results that are to be kept cannot be read.
        EngineError: What computes cannot be reached or ends without results; nothing was written.
        UsageError: The engine is not installed.
    """
    dataset, begin = settings.dataset, time.monotonic() if started is None else started
    reporter, token = progress or NullProgress(), cancellation or CancellationToken()
    folder = destination.folder if destination else ReportFolder.of_dataset(dataset)
    keep_others = destination is not None and destination.keep_others
    if keep_others:
        check_can_be_kept(folder)

    def step(done: int, total: int, what: str) -> None:
        token.raise_if_cancelled()
        reporter.step(done, total, what)

    with open_engine(settings, token) as engine, open_dataset(settings, layer_store=layer_store) as opened:
        catalog = opened.catalog
        export_if_needed(dataset, catalog)  # a killed run may have left tables that are older than the catalog
        view = FolderDatasetView(dataset, options, step, engine, opened.layer_store)
        reporter.start(len(analyses))
        runs = []
        for run in run_analyses(analyses, view, reporter):
            runs.append(run)
            token.raise_if_cancelled()
        token.raise_if_cancelled()  # also after the last analysis
        reporter.message("writing tables and figures")
        into_dataset = folder.root == dataset
        if into_dataset:
            # The list of files is about to be out of date: if this process is killed now, the next run corrects it.
            catalog.set_meta("stale", "1")
        content = ReportInput(
            dataset_id=catalog.dataset_id,
            dataset_state=view.state,
            version=version("filtercrawl"),
            made=now(),
            options=options,
            basis=total_sample_size(view),
            selection=view.selection.counts()
            | (effective_counts(dataset, view.index) if options.view == "effective" else {}),
            coverage=group_coverage(view.index, options.by),
            sections=tuple(runs),
            pictures=layer_pictures(view),
            keep_others=keep_others,
            last_withdrawal=pc.max(DatasetFolder(dataset).table("withdrawn", ["withdrawn"])["withdrawn"]).as_py(),
        )
        kept = KeptFigures(dataset, engine.map, step, forget_others=into_dataset and not keep_others)
        written = write_report(folder, content, kept.draw)
        if into_dataset:
            export_if_needed(dataset, catalog)
    return AnalysisReport(
        dataset=dataset,
        folder=folder,
        results=written.results,
        paths=tuple(written.paths),
        left_out=written.left_out,
        tables={table.name: table.rows for run in runs for table in run.result.tables},
        seconds_by_analysis={run.name: run.seconds for run in runs},
        seconds=round(time.monotonic() - begin, 3),
    )


def total_sample_size(view: DatasetView) -> SampleSize:
    """Count the kernels, layers and models that analyses see; along steps, those of every step."""
    index = view.index
    if view.options.along is not None:
        index = pa.concat_tables([index.slice(0, 0), *(step.dataset.index for step in view.steps())])
    return SampleSize(
        kernels=pc.sum(index["n_kernels"]).as_py() or 0,
        layers=index.num_rows,
        models=pc.count_distinct(index["model_id"]).as_py(),
    )
