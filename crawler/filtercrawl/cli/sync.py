"""`filtercrawl sync`: bring a dataset up to date."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.formatting import escape_control, format_count, format_plural, format_size
from filtercrawl.cli.log_output import show_on_stderr
from filtercrawl.cli.options import (
    SYNC_OPTIONS,
    JsonOption,
    SelectorsArgument,
    SyncOptions,
    print_json,
    with_sync_options,
)
from filtercrawl.cli.progress import open_command_progress
from filtercrawl.config import Settings, resolve

if TYPE_CHECKING:
    from filtercrawl.pipeline.cost import Cost
    from filtercrawl.pipeline.report import SyncReport


@with_sync_options
def run(
    context: typer.Context,
    selectors: SelectorsArgument = None,
    options: SyncOptions = SYNC_OPTIONS,
    json: JsonOption = False,
) -> None:
    """Bring the dataset up to date: read what is new or changed of the sources, and write its kernels.

    May be stopped or killed at any moment and run again. Without selectors every installed source that needs no
    pattern is asked. For example: filtercrawl sync local:models 'timm:resnet*' --kernel-size 3x3.
    """
    # Importing torch takes seconds: not before the options have been checked.
    from filtercrawl.pipeline.discovery.selector import default_selectors
    from filtercrawl.pipeline.sync import SyncContext, sync

    settings = resolve(options)
    cancellation = CancellationToken()
    with open_command_progress() as watch, cancel_on_signal(cancellation, dry_run=settings.dry_run) as received:
        report = sync(
            selectors or default_selectors(context.obj),
            SyncContext(settings=settings, plugins=context.obj, progress=watch, cancellation=cancellation),
        )
    if json:
        print_json(report.to_dict())
    else:
        summarize(report, settings)
    if received:
        end_after_signal(received[0], dry_run=settings.dry_run)
    raise typer.Exit(report.exit_code(settings))


@contextmanager
def cancel_on_signal(
    cancellation: CancellationToken, after: str = "the checkpoints in progress", *, dry_run: bool = False
) -> Iterator[list[int]]:
    """Cancel the run on SIGINT or SIGTERM; a second signal ends the process at once.

    Args:
        cancellation: Is cancelled.
        after: What is still done before the command ends.
        dry_run: Whether the run changes nothing.

    Yields:
        The signals received so far.

    Raises:
        typer.Exit: The work raised `Cancelled` after a signal.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the handler's signature
        if received:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        received.append(number)
        cancellation.cancel()
        again = "press again to end" if number == signal.SIGINT else "a second signal ends it"
        show_on_stderr(f"stopping{'' if dry_run else f' after {after}'}; {again} at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    except Cancelled:
        if not received:
            raise
        end_after_signal(received[0], dry_run=dry_run)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_after_signal(number: int, *, dry_run: bool = False) -> NoReturn:
    """End a command that a signal stopped, with the exit code that shells give to it."""
    show_on_stderr("stopped; nothing was changed" if dry_run else "stopped; the next run continues from here")
    raise typer.Exit(128 + number)


def format_cost(cost: Cost, settings: Settings) -> str:
    """Describe what the checkpoints of one source cost, or will cost: bytes, share of their files, requests."""
    from filtercrawl.pipeline.report import LABELS

    counts = ", ".join(f"{format_count(count)} {LABELS[word]}" for word, count in cost.checkpoints.items() if count)
    share = "" if cost.share is None else f" of {format_size(cost.total_bytes)} ({100 * cost.share:.1f} %)"
    verb = "will read" if settings.dry_run else "read"
    words = [f"{counts}; {verb} {'at most ' if cost.n_upper_bounds else ''}{format_size(cost.bytes)}{share}"]
    if cost.requests:
        words.append(f"in {'at least ' if cost.n_upper_bounds else ''}{format_count(cost.requests)} requests")
    return " ".join(words) + (f", {format_count(cost.n_in_full)} in full" if cost.n_in_full and cost.requests else "")


def say_nothing_to_do(report: SyncReport, settings: Settings) -> str:
    """Say why a run read nothing: all is up to date, some are gone, all failed before, or no selector names one."""
    if report.checkpoints["waiting"] or report.empty or report.removed_models or report.restricted:
        return "nothing was read"
    return f"nothing to do: {settings.dataset_name} is up to date"


def show_counts(report: SyncReport) -> None:
    """Print how many checkpoints had which outcome; of listings that broke off at once, nobody knows."""
    from filtercrawl.pipeline.report import LABELS, WORDS

    counts = report.checkpoints
    counted = ", ".join(f"{format_count(counts[word])} {LABELS[word]}" for word in WORDS[1:] if counts[word])
    if counted or not report.problems:
        typer.echo(f"checkpoints: {counted or 'none'}")


def summarize(report: SyncReport, settings: Settings) -> None:
    """Print the results of a sync."""
    show_counts(report)
    for selector, problem in report.problems.items():
        typer.echo(f"source {escape_control(selector)} did not finish its listing: {escape_control(problem)}")
    for selector, what in report.empty.items():
        typer.echo(f"{escape_control(selector)}: {escape_control(what)}")
    for line in (*report.skip_lines(), *report.restricted_lines()):
        typer.echo(line)
    for model_id, reason in report.failures.items():
        typer.echo(f"failed: {escape_control(model_id)}: {escape_control(reason)}")
    if report.removed_models and not settings.prune:
        gone = format_plural(len(report.removed_models), "checkpoint")
        typer.echo(f"no longer offered: {gone}; --prune removes what the dataset has of them")
    if report.checkpoints["waiting"]:
        waiting = format_count(report.checkpoints["waiting"])
        typer.echo(f"{waiting} failed before and wait for their next attempt; --retry all tries them now")
    if report.n_left:
        typer.echo(f"{format_count(report.n_left)} still to do")
    for source, cost in sorted(report.by_source.items()):
        typer.echo(f"  {source}: {format_cost(cost, settings)}")
    if not settings.dry_run:
        show_result(report, settings)


def show_result(report: SyncReport, settings: Settings) -> None:
    """Print what was written and how to load it, or why nothing was."""
    if not report.n_crawled:
        if not report.problems and not report.n_left:  # with an incomplete listing, what there was to do is unknown
            typer.echo(say_nothing_to_do(report, settings))
        return
    written = f"{format_plural(report.layers, 'layer')} and {format_plural(report.kernels, 'kernel')}"
    typer.echo(f"{written} written in {report.seconds:.1f} s")
    if not report.layers:
        return
    if settings.dataset_url is None:
        arguments = f'"{Path(settings.dataset).resolve()}", "layers"'
    else:
        arguments = f'"parquet", data_files="{settings.dataset_url}/data/layers/*/*/*.parquet"'
    typer.echo(f"""load them with

    from datasets import load_dataset
    layers = load_dataset({arguments}, split="train")
""")
