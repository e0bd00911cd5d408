"""The command `release`: sync, analyze and publish in one, for a nightly job on an empty machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, FiltercrawlError, UsageError
from filtercrawl.api.formatting import escape_control
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.options import (
    SYNC_OPTIONS,
    JsonOption,
    NotifyOption,
    SelectorsArgument,
    SummaryOption,
    SyncOptions,
    print_json,
    with_sync_options,
)
from filtercrawl.cli.progress import open_command_progress
from filtercrawl.cli.sync import all_selectors, cancel_on_signal, summarize
from filtercrawl.config import now, resolve, step_summary
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl_publish.release import markdown
from filtercrawl_publish.release.notify import notify, split_command
from filtercrawl_publish.release.plan_file import PlanFile
from filtercrawl_publish.release.run_record import Outcome, RunRecord

if TYPE_CHECKING:
    from filtercrawl_publish.release.pipeline import ReleaseRequest

_OUTCOMES: Final[Mapping[int, Outcome]] = {4: "refused", 5: "busy"}


@with_sync_options
def release(
    context: typer.Context,
    repo: Annotated[str, typer.Argument(metavar="REPO", help="A dataset on the Hub, `org/name`, or a folder.")],
    selectors: SelectorsArgument = None,
    options: SyncOptions = SYNC_OPTIONS,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="With --dry-run: write down what would be done.")
    ] = None,
    apply: Annotated[
        Path | None, typer.Option("--apply", metavar="FILE", help="Do what this plan says, and no more.")
    ] = None,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Publish also where much of the last version is gone.")
    ] = False,
    summary: SummaryOption = None,
    notify_cmd: NotifyOption = None,
    json: JsonOption = False,
) -> None:
    """Sync, analyze and publish: go on from the last version of a repo and publish the next, if anything changed.

    Starts on an empty machine too: everything but the weights is fetched from the last version. Exit code 4: too much
    of it would be lost; 5: somebody else published, or the plan is out of date. For example: filtercrawl release
    org/kernels 'timm:*' 'hub:org/*' --time-limit 5h.
    """
    more = {"max_lost": 1 if allow_loss else None, "summary": summary, "notify_cmd": notify_cmd}
    settings = resolve({**options, **more})
    approved = None if apply is None else PlanFile.read(apply, repo)
    if approved is not None:
        if selectors and tuple(selectors) != approved.selectors:
            raise UsageError(f"{apply}: was made for {' '.join(approved.selectors)}; leave the selectors out")
        settings = approved.applied(settings)
    if plan is not None and not settings.dry_run:
        raise UsageError("--plan goes with --dry-run")
    if settings.publish.notify_cmd is not None:
        split_command(settings.publish.notify_cmd)
    chosen = list(approved.selectors if approved else selectors or all_selectors(context))
    private = tuple(paths(chosen, [settings.dataset, Path(repo).parent, Path.home()], context.obj))
    record = RunRecord(repo=repo, started=now(), selectors=chosen, private=private)
    # torch takes seconds to import: only once the options are known to be right
    from filtercrawl_publish.release import pipeline

    cancellation = CancellationToken()
    with open_command_progress() as watch, cancel_on_signal(cancellation) as received:
        night = pipeline.ReleaseRequest(
            repo=repo,
            selectors=chosen,
            settings=settings,
            plugins=context.obj,
            watch=watch,
            cancellation=cancellation,
            plan=plan,
            approved=approved,
        )
        try:
            pipeline.run_release(night, record)
        except Cancelled:
            record.why, record.outcome = "stopped by a signal", "stopped"
            record.exit_code = 128 + (received[0] if received else 2)
        except FiltercrawlError as error:
            record.why, record.exit_code = str(error), error.exit_code
            record.outcome = _OUTCOMES.get(error.exit_code, "error")
            raise
        except BaseException as error:
            record.why, record.outcome, record.exit_code = f"{type(error).__name__}: {error}", "error", 1
            raise
        finally:
            _notify(record, night)
    if json:
        print_json(record.as_json())
    else:
        summarize_release(record, night)
    raise typer.Exit(record.exit_code)


def paths(selectors: list[str], places: list[Path], plugins: Plugins) -> list[str]:
    """Return the paths of this machine that may be met in what is written, the longest first."""
    found = {text for place in places for text in (str(place), str(place.resolve())) if Path(text).is_absolute()}
    for text in selectors:
        selector = Selector.parse(text, plugins)
        if selector.on_this_machine and selector.pattern is not None:
            found |= {selector.pattern, text.partition(":")[2]}
    return sorted((path for path in found if path.strip("./~")), key=len, reverse=True)


def _notify(record: RunRecord, request: ReleaseRequest) -> None:
    """Write the record where it belongs; what goes wrong here is said and changes nothing."""
    settings = request.settings
    try:
        if not settings.dry_run:
            record.write(settings.dataset)
        content, path = record.as_json(), settings.publish.summary or step_summary()
        if path is not None:
            markdown.write(markdown.markdown(content), path, append=settings.publish.summary is None)
    except FiltercrawlError as error:
        request.watch.message(str(error))
    if settings.publish.notify_cmd is not None:
        problem = notify(settings.publish.notify_cmd, record.as_json())
        if problem is not None:
            request.watch.message(problem)


def summarize_release(record: RunRecord, request: ReleaseRequest) -> None:
    summarize(record.report, request.settings)
    for what, why in record.left_out.items():
        typer.echo(f"left out: {escape_control(what)}: {escape_control(why)}")
    if record.why is not None:
        typer.echo(escape_control(record.why))
    if record.version is not None:
        typer.echo(f"published {record.version}: {escape_control(record.repo)}")
    elif record.outcome == "planned" and request.plan is not None:
        typer.echo(f"planned: {request.plan}; do it with --apply")


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="release", run=release)
