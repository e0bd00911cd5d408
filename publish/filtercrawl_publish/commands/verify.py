"""The command `verify`: whether a dataset is what it says, taken from its files alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.config import resolve
from filtercrawl.dataset.files import manifest
from filtercrawl.transport import network
from filtercrawl_publish.publishing.load_check import verify_loads
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.open import open_repository
from filtercrawl_publish.repository.signature import SIGNATURE, signature_error
from filtercrawl_publish.verification.files import check_card, check_files, check_manifest
from filtercrawl_publish.verification.issues import DatasetFolder, Issue
from filtercrawl_publish.verification.sketches import check_sketches
from filtercrawl_publish.verification.tables import check_index, check_ledger, check_models
from filtercrawl_publish.verification.weights import check_weights

_LAYERS = "data/layers/"


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """How closely to look. weights: fetch those of a repo, one file at a time, rather than take its word for their
    hashes; public_key: by which the manifest must be signed; load: every config with `datasets`, in a fresh process.
    """

    weights: bool = False
    public_key: Path | None = None
    load: bool = True


def verify_folder(path: Path) -> Iterator[Issue]:
    """Yield everything that is wrong with the dataset folder at `path`; nothing for a sound one.

    Reads every file once or twice, the catalog never. Raises UsageError where no dataset is.
    """
    if not (path / manifest.PATH).is_file() and not (path / "data").is_dir():
        raise UsageError(f"{str(path)!r} is no dataset: neither {manifest.PATH} nor data/ is there")
    folder, wrong = check_files(path)
    yield from wrong
    yield from _checked(folder)


def verify_repository(repository: Repository, options: VerifyOptions, scratch: Path) -> Iterator[Issue]:
    """Yield everything that is wrong with a version in a repo; its tables are fetched into `scratch`.

    Hashes of weights are those that the repo states, unless `look.weights`: then each file is fetched, read and
    deleted. Raises NetworkError where the repo does not answer.
    """
    commit = repository.resolve()
    there = repository.files(commit)
    if manifest.PATH not in there:
        raise UsageError(f"{repository.id}: is no dataset: it has no {manifest.PATH}")
    repository.fetch([path for path in there if not path.startswith((_LAYERS, "."))], commit, scratch)
    folder, wrong = check_files(scratch, there)
    yield from wrong
    if options.weights:

        def bring(path: str) -> None:
            repository.fetch([path], commit, scratch)

        amiss = {finding.where for finding in wrong}
        layers = {file.path for file in folder.files if file.path.startswith(_LAYERS) and file.path not in amiss}
        folder = replace(folder, fetch_file=bring, verified_files=folder.verified_files | layers)
    yield from _checked(folder)


def _checked(folder: DatasetFolder) -> Iterator[Issue]:
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


def verify_dataset(text: str, options: VerifyOptions) -> Iterator[Issue]:
    """Yield everything that is wrong with `org/name[@version]` or a folder; a sound one is loaded at the end."""
    place = open_repository(text, network(resolve({}).network))
    here = _folder(text, place)
    with TemporaryDirectory(prefix="filtercrawl-") as scratch:
        amiss = False
        for finding in verify_folder(here) if here is not None else verify_repository(place, options, Path(scratch)):
            amiss = True
            yield finding
        if options.public_key is not None and (problem := signature_error(here or Path(scratch), options.public_key)):
            yield Issue(where=SIGNATURE, what=problem)
    if options.load and not amiss:
        try:
            verify_loads(place, place.resolve())
        except DatasetError as error:
            yield Issue(where=text, what=str(error))


def _folder(text: str, repository: Repository) -> Path | None:
    """Return where a dataset lies on this machine; None for one on the Hub."""
    if Path(text).expanduser().is_dir():
        return Path(text).expanduser()
    path = text.rpartition("@")[0]
    return (
        Path(repository.load_location(repository.resolve())[0]) if path and Path(path).expanduser().is_dir() else None
    )


def verify(
    dataset: Annotated[
        str, typer.Argument(metavar="X", help="A folder, org/name or org/name@VERSION.", show_default=False)
    ],
    weights: Annotated[
        bool, typer.Option("--weights", help="Of a repo, fetch and read every weight too, a file at a time.")
    ] = False,
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The manifest must be signed by this key's owner.", show_default=False),
    ] = None,
    load: Annotated[bool, typer.Option("--load/--no-load", help="Load every config with `datasets`.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a dataset: files, hashes, schemas, ids, links, ledger, sketches, every weight, every config.

    Of a repo the hashes of weights are those that it states, unless --weights is given. Exit code 1: not sound.
    """
    found = []
    for finding in verify_dataset(dataset, VerifyOptions(weights=weights, public_key=public_key, load=load)):
        found.append({"where": finding.where, "what": finding.what})
        if not as_json:
            typer.echo(str(finding))
    if as_json:
        typer.echo(json.dumps({"dataset": dataset, "sound": not found, "findings": found}))
    elif not found:
        typer.echo(f"{dataset}: sound")
    if found:
        raise typer.Exit(1)


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="verify", run=verify)
