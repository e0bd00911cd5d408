"""A whole run of analyses, while nobody else writes to the dataset."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from filtercrawl.api.analysis import Analysis, Basis, Holdings, Options
from filtercrawl.api.errors import Stopped
from filtercrawl.config import Settings, now
from filtercrawl.dataset.catalog.recovery import opened, refresh
from filtercrawl.dataset.files.lock import locked
from filtercrawl_analysis.data.dataset_view import DatasetHoldings
from filtercrawl_analysis.report.run_analyses import study
from filtercrawl_analysis.report.writer import Study, Written, write

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from filtercrawl.cli.progress_bar import Watch


def run(
    analyses: Sequence[Analysis], settings: Settings, options: Options, watch: Watch, stop: threading.Event
) -> tuple[Written, dict[str, float]]:
    """Analyse the dataset of `settings` and write into it; returns what was written, and seconds by analysis.

    Raises Stopped, before anything is written, once `stop` is set; BusyError where another run is at work; DatasetError
    where the folder cannot be read or written.
    """
    dataset = settings.dataset

    def progress(done: int, total: int, what: str) -> None:
        if stop.is_set():
            raise Stopped
        watch.step(done, total, what)

    with locked(dataset), opened(settings) as catalog:
        refresh(dataset, catalog)  # a killed run may have left tables that are older than the catalog
        holdings = DatasetHoldings(dataset, options, progress)
        watch.begin(len(analyses))
        sections = []
        for section in study(analyses, holdings, watch):
            sections.append(section)
            if stop.is_set():
                raise Stopped
        watch.say("writing tables and figures")
        catalog.set_fact("stale", "1")  # the list of files will be: if this run is killed, the next one mends it
        found = Study(
            dataset_id=catalog.dataset_id,
            version=version("filtercrawl"),
            made=now(),
            options=options,
            basis=whole(holdings),
            sections=tuple(sections),
        )
        written = write(dataset, found, watch.step)
        refresh(dataset, catalog)
    return written, {section.name: section.seconds for section in sections}


def whole(holdings: Holdings) -> Basis:
    """Count all that analyses are shown."""
    index = holdings.index
    return Basis(
        kernels=pc.sum(index["n_kernels"]).as_py() or 0,
        layers=index.num_rows,
        models=pc.count_distinct(index["model_id"]).as_py(),
    )
