"""The command `analyze`: run the analyses of all plugins over a dataset and write what they find into it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from filtercrawl.api.analysis import AnalysisOptions, SampleSize
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, DatasetError, UsageError
from filtercrawl.api.formatting import escape_control, format_count
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.cli.sync import cancel_on_signal
from filtercrawl.config import resolve
from filtercrawl.dataset.schema.arrow import INDEX, MODELS
from filtercrawl.display.progress_bar import ProgressBar
from filtercrawl_analysis.report.run_analyses import select_analyses
from filtercrawl_analysis.statistics.groups import POSITION

if TYPE_CHECKING:
    from filtercrawl_analysis.report.writer import WrittenReport

REPORT = "analysis/report.html"
DEFAULT = AnalysisOptions()


def analyze(
    context: typer.Context,
    dataset: DatasetOption = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column of `index` or `models` whose groups are compared; may be repeated.",
            show_default=", ".join(DEFAULT.by),
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Read the kernels, as the paper does, and not only their sketches.")
    ] = False,
    resamples: Annotated[
        int, typer.Option(metavar="N", min=0, help="Resamples of models for confidence intervals.", show_default="500")
    ] = DEFAULT.resamples,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Of all that is drawn by chance.", show_default="0")
    ] = DEFAULT.seed,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this analysis; may be repeated.")] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda|mps", help="Where kernels are looked at.", show_default="auto"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find shift and degeneracy: tables, figures and one HTML report, below `analysis` in the dataset.

    Exit code 3: an analysis failed, is named and left out. What an earlier run wrote there is replaced.
    """
    started = time.monotonic()
    settings = resolve({"dataset": dataset, "device": device})
    columns = tuple(dict.fromkeys(by or DEFAULT.by))
    check_columns(columns)
    if not (settings.dataset / "data/models.parquet").is_file():
        raise DatasetError(
            f"{settings.dataset}: no dataset here; `filtercrawl sync SELECTOR --dataset {settings.dataset}` makes one"
        )
    # torch and matplotlib take seconds to import: only once there is something to do.
    from filtercrawl.config import device as devices
    from filtercrawl_analysis.commands.runner import run

    options = AnalysisOptions(
        by=columns, exact=exact, resamples=resamples, seed=seed, device=str(devices.select_device(settings.device))
    )
    cancellation = CancellationToken()
    with ProgressBar("analysing") as watch, cancel_on_signal(cancellation, "the step in hand") as received:
        try:
            written, seconds = run(
                select_analyses(context.obj.analyses, only or ()), settings, options, watch, cancellation
            )
        except Cancelled:
            typer.echo("stopped; nothing was written", err=True)
            raise typer.Exit(128 + received[0]) from None
    total = round(time.monotonic() - started, 3)
    if json:
        print_json(as_json(settings.dataset, written, seconds, total))
    else:
        summarize(settings.dataset, written, total)
    raise typer.Exit(3 if written.left_out else 0)


def check_columns(columns: tuple[str, ...]) -> None:
    """Raise UsageError for what is no column of `index` or `models`, nor the position in a network."""
    known = sorted({*INDEX.names, *MODELS.names, POSITION})
    for column in columns:
        if column not in known:
            raise UsageError(f"--by: no column is named {column!r}; known are {', '.join(known)}")


def as_json(dataset: Path, written: WrittenReport, seconds: Mapping[str, float], total: float) -> dict[str, Any]:
    """Return what results.json holds, with the times that it must not hold, and without the hashes of files."""
    results = {key: value for key, value in written.results.items() if key != "sha256"}
    analyses = [analysis | {"seconds": seconds[analysis["name"]]} for analysis in results["analyses"]]
    return {
        "dataset": str(dataset),
        **results,
        "analyses": analyses,
        "tables": sum(len(analysis["tables"]) for analysis in analyses),
        "figures": sum(len(analysis["figures"]) for analysis in analyses),
        "findings": [finding for analysis in analyses for finding in analysis["findings"]],
        "files": written.paths,
        "seconds": total,
    }


def summarize(dataset: Path, written: WrittenReport, total: float) -> None:
    basis = SampleSize(**written.results["basis"])
    for analysis in written.results["analyses"]:
        for finding in analysis["findings"]:
            typer.echo(f"- {escape_control(finding)}")
    for what, why in written.left_out.items():
        typer.echo(f"left out: {escape_control(what)}: {escape_control(why)}")
    typer.echo(
        f"{format_count(basis.kernels)} kernels of {format_count(basis.layers)} layers "
        f"of {format_count(basis.models)} models "
        f"analysed in {total:.1f} s"
    )
    typer.echo(f"read {dataset / REPORT}")


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="analyze", run=analyze)
