"""The Python function behind `filtercrawl analyze`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.cancellation import CancellationToken, cancel_on_interrupt
from filtercrawl.api.errors import UsageError
from filtercrawl.api.extras import require_extra
from filtercrawl.api.formatting import unknown_column
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.progress import Progress
from filtercrawl.api.vocabulary import WEIGHT_FORMS, WeightForm
from filtercrawl.config import Engine, resolve
from filtercrawl.dataset.files.dataset_folder import DatasetFolder, no_dataset
from filtercrawl.dataset.files.table_files import has_table
from filtercrawl.dataset.object_store.session import stored_dataset
from filtercrawl.dataset.schema.arrow import INDEX, MODELS
from filtercrawl.display.session import open_progress
from filtercrawl_analysis.data.extra_columns import extra_keys
from filtercrawl_analysis.report.analysis_report import AnalysisReport
from filtercrawl_analysis.statistics.groups.labels import POSITION

DEFAULT_OPTIONS: Final = AnalysisOptions()
# The analysis that a joined file is for.
FILTERS: Final = "filters"


def analyze(
    dataset: str | Path | None = None,
    *,
    by: str | Sequence[str] | None = None,
    exact: bool = False,
    view: WeightForm = DEFAULT_OPTIONS.view,
    resamples: int = DEFAULT_OPTIONS.resamples,
    seed: int = DEFAULT_OPTIONS.seed,
    only: Sequence[str] | None = None,
    also: Sequence[str] | None = None,
    join: str | Path | None = None,
    device: str | None = None,
    jobs: int | None = None,
    engine: Engine | None = None,
    ray_address: str | None = None,
    along: str | None = None,
    out: str | Path | None = None,
    progress: bool | Progress | None = None,
    cancellation: CancellationToken | None = None,
    plugins: Plugins | None = None,
) -> AnalysisReport:
    """Run the analyses of all installed plugins over a dataset and write tables, figures and a report.

    Everything is written below `analysis/` in the dataset and replaces what an earlier run wrote there; with `only`,
    what earlier runs wrote of other analyses stays. The same dataset and options give the same bytes.

    Args:
        dataset: The dataset folder, or the URL of an object store. By default the one that `FILTERCRAWL_DATASET` or
            `filtercrawl.toml` names.
        by: Columns of `index` or `models`, or keys of `models.extra`, whose groups are compared, or `position`. By
            default task, visual category, training dataset, family and depth decile.
        view: `raw` for the weights that the checkpoints store, `effective` for those that the networks convolve with:
            normalized, standardized, with branches merged and batch normalization folded.
        exact: Read the kernels, as CNN Filter DB does (arXiv 2203.15331), and not only their sketches.
        resamples: Random assignments of models to groups in a test; a clear outcome ends it early.
        seed: Seed of all random numbers.
        only: Names of the analyses to run. By default all but those that are expensive and run only when named. The
            report keeps the other analyses of earlier runs, and says which of them are of an earlier state of the
            dataset.
        also: Names of further analyses to run.
        join: A CSV or Parquet file with columns of filters, such as their relevance, by `filter_id` or by `layer_id`
            and `out_channel`. The analysis `filters` then runs too, adds them to its table and correlates them with it.
        device: Torch device for passes over kernels: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        jobs: Processes that compute, with the engine `local`; they start where there is work for some seconds.
        engine: `local`, or `ray` for the machines of a Ray cluster; `threads` is as `local`. The results are the same.
        ray_address: The cluster; by default that in `RAY_ADDRESS`, else one that is started on this machine.
        along: `step` to run each analysis once for every step of the training runs, into tables of all steps, and not
            for final checkpoints.
        out: A folder for tables, figures and report, in place of `analysis/` in the dataset.
        progress: True for a progress bar, False for none, or an object that receives the progress. By default a bar
            in a notebook or an interactive session.
        cancellation: Ends the run when it is cancelled from another thread or a signal handler.
        plugins: The plugins to take analyses from. By default all that are installed.

    Returns:
        The report, with its findings, its tables in memory and the paths of all files. An analysis that fails is named
        in `left_out`; the others are in the report.

    Raises:
        UsageError: A column, an analysis, what to run along, or the device does not exist; the joined file cannot be
            used; `out` is a file or part of the dataset; or the packages of the extra `analysis` are missing.
        DatasetError: There is no dataset in the folder, or it cannot be read or written.
        ConflictError: Another process is working on the dataset.
        EngineError: What computes cannot be reached or ends without results; nothing was written.
        Cancelled: The run was cancelled; nothing was written.
        KeyboardInterrupt: The user interrupted the run; nothing was written.

    Example:
        >>> report = filtercrawl.analyze("kernels", by=["family"])
        >>> report.findings, report.to_pandas("layer_quality")
    """
    started = time.monotonic()
    columns = (by,) if isinstance(by, str) else tuple(dict.fromkeys(by or DEFAULT_OPTIONS.by))
    if resamples < 1:
        raise UsageError(f"resamples: {resamples} is not a whole number, one or more")
    if view not in WEIGHT_FORMS:
        raise UsageError(f"view: {view!r} is none of {', '.join(WEIGHT_FORMS)}")
    if along not in (None, "step"):
        raise UsageError(f"along: {along!r} is unknown; there is 'step'")
    given = {"dataset": None if dataset is None else str(dataset), "device": device}
    settings = resolve(given | {"jobs": jobs, "engine": engine, "ray_address": ray_address}, keywords=True)
    cancellation = cancellation or CancellationToken()
    require_extra("analyze", "analysis")
    with stored_dataset(settings, cancellation=cancellation) as stored:
        if not has_table(settings.dataset, "models"):
            raise no_dataset(settings.dataset)
        check_columns(columns, settings.dataset)
        # torch and matplotlib take seconds to import: not before the request is known to be sound.
        from filtercrawl.config.device import select_device
        from filtercrawl_analysis.report.along_steps import along_steps
        from filtercrawl_analysis.report.report_folder import Destination, ReportFolder
        from filtercrawl_analysis.report.run_analyses import select_analyses
        from filtercrawl_analysis.run.execute import execute
        from filtercrawl_analysis.statistics.filters.joined_table import JoinedTable

        folder = (
            ReportFolder.of_dataset(settings.dataset)
            if out is None
            else ReportFolder.elsewhere(Path(out), settings.dataset)
        )
        joined = None if join is None else Path(join)
        if joined is not None:
            JoinedTable.read(joined)  # before any work is done
            also = (*(also or ()), FILTERS)
        options = AnalysisOptions(
            by=columns,
            exact=exact,
            view=view,
            resamples=resamples,
            seed=seed,
            device=str(select_device(settings.device)),
            along="step" if along else None,
            join=joined,
        )
        analyses = select_analyses((plugins or load_plugins()).analyses, only or (), also or ())
        analyses = along_steps(analyses) if along else analyses
        destination = Destination(folder=folder, keep_others=bool(only))
        with open_progress(progress, "analyzing") as receiver, cancel_on_interrupt(cancellation):
            return execute(
                analyses,
                settings,
                options,
                destination=destination,
                progress=receiver,
                cancellation=cancellation,
                started=started,
                layer_store=stored.layers if stored else None,
            )


def check_columns(columns: Sequence[str], dataset: Path) -> None:
    """Check that every column is one of `index` or `models`, a key of `models.extra`, or the position in a network.

    Raises:
        UsageError: A column does not exist; the message names the nearest ones.
        DatasetError: `models` cannot be read.
    """
    known = sorted({*INDEX.names, *MODELS.names, POSITION})
    if all(column in known for column in columns):
        return
    stated = extra_keys(DatasetFolder(dataset).table("models", ["extra"])["extra"])
    known += sorted(stated.difference(known))
    for column in columns:
        if column not in known:
            raise UsageError(f"--by: no column is named {unknown_column(column, known)}")
