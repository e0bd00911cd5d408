"""The command `analyze`, a thin layer over `filtercrawl_analysis.analyze`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.formatting import escape_control, format_plural, shorten_words
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.log_output import show_on_stderr
from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.cli.progress import open_command_progress
from filtercrawl.cli.sync import cancel_on_signal

if TYPE_CHECKING:
    from filtercrawl.api.vocabulary import WeightForm
    from filtercrawl.config.settings import Engine
    from filtercrawl_analysis.report.analysis_report import AnalysisReport

_DEFAULTS: Final = AnalysisOptions()


def analyze(
    context: typer.Context,
    dataset: DatasetOption = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column of `index` or `models`, or a key of `extra`, whose groups are compared; may be repeated.",
            show_default=", ".join(_DEFAULTS.by),
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Read the kernels, as the paper does, and not only their sketches.")
    ] = False,
    view: Annotated[
        str,
        typer.Option(
            metavar="raw|effective",
            help="Weights as they are stored, or as the networks convolve with them: branches merged, norms folded.",
            show_default="raw",
        ),
    ] = _DEFAULTS.view,
    resamples: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Random assignments of models to groups in a test.", show_default="10000"
        ),
    ] = _DEFAULTS.resamples,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed of all random numbers.", show_default="0")
    ] = _DEFAULTS.seed,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this analysis; may be repeated.")] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also this analysis, one that does not run by default; may be repeated."),
    ] = None,
    join: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV or Parquet with columns of filters by filter_id; runs the analysis `filters`."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda|mps", help="Where kernels are processed.", show_default="auto"),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Compute in this many processes.", show_default="2")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="local|ray",
            help="Where it is computed: on this machine, or on those of a Ray cluster.",
            show_default="local",
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="The Ray cluster to connect to, HOST:PORT or auto; without it one is started on this machine.",
            show_default="$RAY_ADDRESS",
        ),
    ] = None,
    along: Annotated[
        str | None,
        typer.Option(
            metavar="step", help="Analyze every step of the training runs, in place of their final checkpoints."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder for tables, figures and report.", show_default="`analysis` in the dataset"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find shift and degeneracy: tables, figures and one HTML report, below `analysis` in the dataset.

    What an earlier run wrote there is replaced; with --only, the other analyses of earlier runs stay.
    Exit code 3: an analysis failed, is named and left out.
    """
    # Tables and the report, which the list of commands does without.
    from filtercrawl_analysis.run.analyze import analyze as run_analysis

    cancellation = CancellationToken()
    with open_command_progress("analyzing") as bar, cancel_on_signal(cancellation, "the step in hand") as received:
        try:
            report = run_analysis(
                dataset,
                by=by,
                exact=exact,
                view=cast("WeightForm", view),
                resamples=resamples,
                seed=seed,
                only=only,
                also=also,
                join=join,
                device=device,
                jobs=jobs,
                engine=cast("Engine | None", engine),
                ray_address=ray_address,
                along=along,
                out=out,
                progress=bar,
                cancellation=cancellation,
                plugins=context.obj,
            )
        except Cancelled:
            show_on_stderr("stopped; nothing was written")
            raise typer.Exit(128 + received[0]) from None
    if json:
        print_json(report.to_dict())
    else:
        print_summary(report)
    raise typer.Exit(3 if report.left_out else 0)


def print_summary(report: AnalysisReport) -> None:
    """Print findings, what had nothing to analyze or was left out, the sample size and where the page is."""
    if report.nothing:
        show_on_stderr(report.nothing)
    for finding in report.findings:
        typer.echo(f"- {shorten_words(escape_control(finding))}")
    for title, note in report.notes:
        typer.echo(f"{escape_control(title)}: {escape_control(note)}")
    for name, reason in report.left_out.items():
        typer.echo(f"left out: {escape_control(name)}: {escape_control(reason)}")
    size = report.sample_size
    typer.echo(
        f"{format_plural(size.kernels, 'kernel')} of {format_plural(size.layers, 'layer')} "
        f"of {format_plural(size.models, 'model')} analyzed in {report.seconds:.1f} s"
    )
    typer.echo(f"report: {report.page}")


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    """Register the command `analyze`."""
    yield Command(name="analyze", run=analyze)
