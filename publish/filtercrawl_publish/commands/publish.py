"""`filtercrawl publish`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control, format_count, format_size
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.cli.options import DatasetOption, JsonOption, SignKeyOption, print_json, setting_option
from filtercrawl.cli.progress import open_command_progress
from filtercrawl.config import now, resolve
from filtercrawl.transport import network
from filtercrawl_publish.publishing.publish import PublishOptions, PublishResult, publish
from filtercrawl_publish.repository.open import open_repository


def run(
    repo: Annotated[str, typer.Argument(help="A dataset repo, `org/name`, or a folder, `./name`.", show_default=False)],
    version: Annotated[
        str | None, typer.Option(metavar="V", help="The version's name.", show_default="vYYYY.MM.DD in UTC")
    ] = None,
    dataset: DatasetOption = None,
    max_disk: Annotated[
        str | None,
        setting_option("max_disk", text="Delete local layers that were uploaded, until all take at most this much."),
    ] = None,
    sign_key: SignKeyOption = None,
    dry_run: Annotated[
        bool | None, setting_option("dry_run", text="Show what would be uploaded, and upload nothing.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Publish the dataset as one version: commit what is new, load it back, then tag it.

    May be killed at any moment and run again. Nothing new: nothing is published. Exit code 4: above a limit of the
    Hub; 5: somebody else published meanwhile.
    """
    settings = resolve({"dataset": dataset, "max_disk": max_disk, "dry_run": dry_run, "sign_key": sign_key})
    most = None if max_disk is None else settings.max_disk  # what `sync` may take is set elsewhere, and is no wish
    place = open_repository(repo, network(settings.network))
    if place.revision is not None:
        raise UsageError(f"{repo!r}: is published to as a whole; leave the @{place.revision} out")
    with open_command_progress() as watch:
        release = PublishOptions(
            version=version,
            when=now(),
            dry_run=settings.dry_run,
            sign_key=settings.publish.sign_key,
            max_disk=most,
            log=watch.message,
        )
        found = publish(settings.dataset, place, release)
        for warning in found.warnings:
            watch.message(f"warning: {warning}")
    if json:
        print_json(asdict(found))
    else:
        typer.echo(escape_control(format_result(found)))


def format_result(found: PublishResult) -> str:
    sums = f"{format_count(found.files)} files, {format_size(found.bytes)}, {format_count(found.removed)} removed"
    return {
        "published": f"published {found.version}: {found.repo} ({sums})",
        "planned": f"would publish {found.version}: {found.repo} ({sums})",
        "finished": f"finished {found.version}: {found.repo}; nothing is new since",
        "nothing": f"nothing new since {found.version or 'the last commit'}: {found.repo}",
    }[found.what]


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="publish", run=run)
