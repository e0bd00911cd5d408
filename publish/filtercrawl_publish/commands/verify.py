"""The command `verify`: whether a dataset is what it says, taken from its files alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from filtercrawl.api.command import Command
from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.config import resolve
from filtercrawl.dataset.files import manifest
from filtercrawl.transport import network
from filtercrawl_publish.publishing.load_check import prove
from filtercrawl_publish.repository.open import remote
from filtercrawl_publish.repository.signature import SIGNATURE, unsigned
from filtercrawl_publish.verification.files import check_card, check_manifest, take
from filtercrawl_publish.verification.issues import Finding, Folder
from filtercrawl_publish.verification.sketches import check_sketches
from filtercrawl_publish.verification.tables import check_index, check_ledger, check_models
from filtercrawl_publish.verification.weights import check_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filtercrawl_publish.repository.base import Remote

_LAYERS = "data/layers/"


@dataclass(frozen=True, kw_only=True)
class Look:
    """How closely to look. weights: fetch those of a repo, one file at a time, rather than take its word for their
    hashes; public_key: by which the manifest must be signed; load: every config with `datasets`, in a fresh process.
    """

    weights: bool = False
    public_key: Path | None = None
    load: bool = True


def findings(path: Path) -> Iterator[Finding]:
    """Yield everything that is wrong with the dataset folder at `path`; nothing for a sound one.

    Reads every file once or twice, the catalog never. Raises UsageError where no dataset is.
    """
    if not (path / manifest.PATH).is_file() and not (path / "data").is_dir():
        raise UsageError(f"{str(path)!r} is no dataset: neither {manifest.PATH} nor data/ is there")
    folder, wrong = take(path)
    yield from wrong
    yield from _checked(folder)


def of_repo(place: Remote, look: Look, scratch: Path) -> Iterator[Finding]:
    """Yield everything that is wrong with a version in a repo; its tables are fetched into `scratch`.

    Hashes of weights are those that the repo states, unless `look.weights`: then each file is fetched, read and
    deleted. Raises NetworkError where the repo does not answer.
    """
    commit = place.resolve()
    there = place.files(commit)
    if manifest.PATH not in there:
        raise UsageError(f"{place.id}: is no dataset: it has no {manifest.PATH}")
    place.fetch([path for path in there if not path.startswith((_LAYERS, "."))], commit, scratch)
    folder, wrong = take(scratch, there)
    yield from wrong
    if look.weights:

        def bring(path: str) -> None:
            place.fetch([path], commit, scratch)

        amiss = {finding.where for finding in wrong}
        layers = {file.path for file in folder.files if file.path.startswith(_LAYERS) and file.path not in amiss}
        folder = replace(folder, bring=bring, sound=folder.sound | layers)
    yield from _checked(folder)


def _checked(folder: Folder) -> Iterator[Finding]:
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


def looked_at(text: str, look: Look) -> Iterator[Finding]:
    """Yield everything that is wrong with `org/name[@version]` or a folder; a sound one is loaded at the end."""
    place = remote(text, network(resolve({}).network))
    here = _folder(text, place)
    with TemporaryDirectory(prefix="filtercrawl-") as scratch:
        amiss = False
        for finding in findings(here) if here is not None else of_repo(place, look, Path(scratch)):
            amiss = True
            yield finding
        if look.public_key is not None and (problem := unsigned(here or Path(scratch), look.public_key)):
            yield Finding(where=SIGNATURE, what=problem)
    if look.load and not amiss:
        try:
            prove(place, place.resolve())
        except DatasetError as error:
            yield Finding(where=text, what=str(error))


def _folder(text: str, place: Remote) -> Path | None:
    """Return where a dataset lies on this machine; None for one on the Hub."""
    if Path(text).expanduser().is_dir():
        return Path(text).expanduser()
    path = text.rpartition("@")[0]
    return Path(place.place(place.resolve())[0]) if path and Path(path).expanduser().is_dir() else None


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
    for finding in looked_at(dataset, Look(weights=weights, public_key=public_key, load=load)):
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
