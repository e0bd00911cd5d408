"""The command `withdraw`: a checkpoint leaves the dataset for good, and the next release says why."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control
from filtercrawl.api.hookspecs import Command, hookimpl
from filtercrawl.api.progress import Progress
from filtercrawl.cli.options import DatasetOption, JsonOption, print_json
from filtercrawl.cli.progress import open_command_progress
from filtercrawl.config import Settings, now, resolve
from filtercrawl.dataset.files.layer_store import LayerStore, LocalLayerStore


def withdraw_models(
    models: Sequence[str], reason: str, settings: Settings, layer_store: LayerStore | None = None
) -> dict[str, Any]:
    """Withdraw checkpoints from the dataset folder and write its tables; returns what became of them.

    Each keeps a row in `models` and has one in `withdrawn`; it is never read again. Where others have the same weights,
    the first in rank keeps them from now on. layer_store: where the layers files are; None for the folder alone.

    Raises UsageError, before anything is done, for an id that `models` does not have; BusyError while another run is at
    work.
    """
    from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
    from filtercrawl.dataset.catalog.recovery import export_if_needed, open_catalog
    from filtercrawl.dataset.files.lock import locked

    if not reason.strip():
        raise UsageError("--reason is empty: whoever misses a checkpoint must find why it is gone")
    with locked(settings.dataset), open_catalog(settings) as catalog:
        rows = {row.model_id: row for row in catalog.models()}
        for model_id in models:
            if model_id not in rows:
                close = difflib.get_close_matches(model_id, rows, 3)
                hint = f"; did you mean {' or '.join(close)}?" if close else "; `[sync] opt_out` keeps new ones out"
                raise UsageError(f"{settings.dataset}: holds no checkpoint {model_id!r}{hint}")
        files = [rows[model_id].layers_file for model_id in models]
        keepers = WeightOwnership(
            dataset=settings.dataset,
            catalog=catalog,
            license_policy=settings.license_policy,
            layer_store=layer_store or LocalLayerStore(settings.dataset),
        )
        duplicates = {model_id for model_id, row in rows.items() if row.duplicate_of is not None}
        for model_id in dict.fromkeys(models):
            keepers.withdraw(model_id, " ".join(reason.split()), now())
        promoted = [
            row.model_id for row in catalog.models() if row.model_id in duplicates and row.layers_file is not None
        ]
        export_if_needed(settings.dataset, catalog)
    return {
        "dataset": str(settings.dataset),
        "withdrawn": sorted(set(models)),
        "promoted": promoted,
        "files": sorted({file for file in files if file is not None}),
    }


def withdraw(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[REPO] MODEL", help="Ids of `models`; before them the repo, unless --dataset is given."
        ),
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is published.", show_default=False)],
    dataset: DatasetOption = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete the files from the repo's history too, and the versions with them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take checkpoints out of the dataset for good.

    They are gone from the next release, are never read again, and `withdrawn` says why. With --dataset the folder is
    changed and nothing published. Duplicates of a withdrawn checkpoint keep the weights: name them too to be rid of
    these. --purge cannot be undone: it deletes the versions that have the weights.
    """
    if dataset is not None:
        if purge:
            raise UsageError("--purge is about a repo: name it, and no --dataset")
        found = withdraw_models(names, reason, resolve({"dataset": dataset}))
    elif len(names) < 2:
        raise UsageError("name the repo and then the checkpoints, or the folder with --dataset")
    else:
        with open_command_progress() as watch:
            found = withdraw_from_repository(names[0], names[1:], reason, watch, purge=purge)
    if as_json:
        print_json(found)
        return
    for model_id in found["withdrawn"]:
        typer.echo(f"withdrawn: {escape_control(model_id)}")
    for model_id in found["promoted"]:
        typer.echo(f"keeps the weights from now on: {escape_control(model_id)}")
    if found.get("version"):
        typer.echo(f"published {found['version']}: {escape_control(found['repo'])}")
    for tag in found.get("deleted_versions", ()):
        typer.echo(f"deleted the version {escape_control(tag)}")
    for path in found.get("deleted_files", ()):
        typer.echo(f"deleted for good: {escape_control(path)}")


def withdraw_from_repository(
    repo: str, models: Sequence[str], reason: str, watch: Progress, *, purge: bool
) -> dict[str, Any]:
    """Publish a version without these checkpoints, from the last one and without its weights; returns what was done.

    Where they are withdrawn already only what is left to do is done: after a kill it is run again. Raises what
    `restore`, `publish` and `purge` raise.
    """
    from filtercrawl.transport import network
    from filtercrawl_publish.publishing import purge as purging
    from filtercrawl_publish.publishing.layer_store import RepositoryLayerStore
    from filtercrawl_publish.publishing.publish import PublishOptions, publish
    from filtercrawl_publish.release.restore import restore_version
    from filtercrawl_publish.repository.open import open_repository

    with TemporaryDirectory(prefix="filtercrawl-") as scratch:
        dataset = Path(scratch, "dataset")
        settings = resolve({"dataset": dataset})
        transport = network(settings.network)
        place = open_repository(repo, transport)
        if place.revision is not None:
            raise UsageError(
                f"{repo!r}: a checkpoint is withdrawn from the newest version; leave @{place.revision} out"
            )
        base = restore_version(place, settings, watch)
        if base is None:
            raise UsageError(f"{place.id}: nothing is published there")
        store = RepositoryLayerStore(dataset=dataset, repository=place, commit=base.commit, log=watch.message)
        found = withdraw_models(models, reason, settings, store)
        published = publish(
            dataset, place, PublishOptions(when=now(), sign_key=settings.publish.sign_key, log=watch.message)
        )
        found |= {"dataset": None, "repo": place.id, "version": published.version, "commit": published.commit}
        if purge:
            plan = purging.plan_purge(place, models, transport)
            for tag in plan.tags:
                watch.message(f"the version {tag} has weights of what is withdrawn, and goes")
            found["deleted_files"] = purging.purge(place, plan, transport)
            found["deleted_versions"] = list(plan.tags)
    return found


@hookimpl
def filtercrawl_commands() -> Iterator[Command]:
    yield Command(name="withdraw", run=withdraw)
