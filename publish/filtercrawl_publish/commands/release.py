"""The command `release`: sync, analyze and publish in one, for a nightly job on an empty machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import filtercrawl_publish
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import (
    SYNC_OPTIONS,
    JsonOption,
    NotifyOption,
    SelectorsArgument,
    SpaceOption,
    SummaryOption,
    SyncOptions,
    print_json,
    with_sync_options,
)
from filtercrawl.cli.progress import open_command_progress
from filtercrawl.cli.sync import cancel_on_signal, summarize
from filtercrawl.config import resolve


@with_sync_options
def run(
    context: typer.Context,
    repo: Annotated[str, typer.Argument(metavar="REPO", help="A dataset on the Hub, `org/name`, or a folder.")],
    selectors: SelectorsArgument = None,
    options: SyncOptions = SYNC_OPTIONS,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="With --dry-run: write what would be done to a file.")
    ] = None,
    apply: Annotated[
        Path | None, typer.Option("--apply", metavar="FILE", help="Do what this plan allows, and nothing else.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(metavar="V", help="The version's name.", show_default="vYYYY.MM.DD in UTC")
    ] = None,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Publish also if much of the last version is missing.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Publish also over files that are no dataset of filtercrawl.")
    ] = False,
    space: SpaceOption = None,
    summary: SummaryOption = None,
    notify_cmd: NotifyOption = None,
    json: JsonOption = False,
) -> None:
    """Sync, analyze and publish: continue the last version of a repository and publish the next, if anything changed.

    Starts on an empty machine too: everything but the weights is downloaded from the last version. Exit code 4: too
    much of it would be lost; 5: someone else published, or the plan is out of date. For example: filtercrawl release
    org/kernels 'timm:*' 'hub:org/*' --time-limit 5h.
    """
    settings = resolve({**options, "space": space, "summary": summary, "notify_cmd": notify_cmd})
    cancellation = CancellationToken()
    with open_command_progress() as progress, cancel_on_signal(cancellation, dry_run=settings.dry_run) as signals:
        report = filtercrawl_publish.release(
            repo,
            selectors or (),
            settings=settings,
            version=version,
            allow_loss=allow_loss,
            replace=replace,
            write_plan=plan,
            apply_plan=apply,
            plugins=context.obj,
            progress=progress,
            cancellation=cancellation,
            cancelled_exit_code=lambda: 128 + (signals[0] if signals else 2),
        )
        for warning in report.warnings:
            progress.message(f"warning: {warning}")
    if json:
        print_json(report.to_dict())
    else:
        summarize(report.sync_report, report.settings)
        if text := str(report):
            typer.echo(text)
        if report.outcome == "planned" and plan is not None:
            typer.echo(f"planned: {plan}; apply it with --apply")
    raise typer.Exit(report.exit_code)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="release", run=run)
