"""The command `verify`: whether a dataset folder is what it says, taken from its files alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from filtercrawl.command import Command
from filtercrawl.dataset import manifest
from filtercrawl.errors import UsageError
from filtercrawl.hookspecs import hookimpl
from filtercrawl_publish.accounts import check_index, check_ledger, check_models
from filtercrawl_publish.findings import Finding
from filtercrawl_publish.inventory import check_card, check_manifest, take
from filtercrawl_publish.sketches import check_sketches
from filtercrawl_publish.weights import check_weights


def findings(path: Path) -> Iterator[Finding]:
    """Yield everything that is wrong with the dataset folder at `path`; nothing for a sound one.

    Reads every file once or twice, the catalog never. Raises UsageError where no dataset is.
    """
    if not (path / manifest.PATH).is_file() and not (path / "data").is_dir():
        raise UsageError(f"{str(path)!r} is no dataset: neither {manifest.PATH} nor data/ is there")
    folder, wrong = take(path)
    yield from wrong
    for check in (check_manifest, check_card, check_weights):
        yield from check(folder)
    for check, needed in (
        (check_models, ("models", "index")),
        (check_index, ("index", "models")),
        (check_ledger, ("ledger", "models", "index")),
        (check_sketches, ("sketches", "index")),
    ):
        if folder.whole(*needed):
            yield from check(folder)


def verify(
    folder: Annotated[Path, typer.Argument(help="The dataset folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a dataset folder: files, hashes, schemas, ids, ledger, sketches, every weight. Exit code 1: not sound."""
    found = []
    for finding in findings(folder):
        found.append({"where": finding.where, "what": finding.what})
        if not as_json:
            typer.echo(str(finding))
    if as_json:
        typer.echo(json.dumps({"dataset": str(folder), "sound": not found, "findings": found}))
    elif not found:
        typer.echo(f"{folder}: sound")
    if found:
        raise typer.Exit(1)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="verify", run=verify)
