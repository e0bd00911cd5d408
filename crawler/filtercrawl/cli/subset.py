"""`filtercrawl subset`: make a subset of a dataset from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from filtercrawl.api.errors import UsageError
from filtercrawl.cli.options import JsonOption, print_json
from filtercrawl.cli.progress import open_command_progress


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A TOML file, a subset.json, or the name of a recipe that --list shows."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(metavar="DIR|REPO", help="A folder or org/name[@revision].")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where to write the subset.", show_default="subsets/NAME-HASH in the dataset folder"
        ),
    ] = None,
    materialize: Annotated[
        bool, typer.Option("--materialize", help="Write the weights too, for use without the dataset; needs --out.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be selected; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Let --out replace another subset, or weights.")] = False,
    list_recipes: Annotated[
        bool, typer.Option("--list", help="List the recipes that come with filtercrawl, and make nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a subset of a dataset: the layers and kernels that a recipe selects, with splits that share no kin.

    The same recipe on the same version of a dataset gives the same subset on every machine.

    For example: filtercrawl subset healthy-3x3, or filtercrawl subset mine.toml --dry-run.
    """
    if list_recipes:
        show_recipes(json=json)
        return
    if recipe is None:
        raise UsageError("name a recipe: a file, or one that `filtercrawl subset --list` shows")
    from filtercrawl.subsets.make import subset

    with open_command_progress() as watch:
        report = subset(recipe, dataset, out=out, materialize=materialize, dry_run=dry_run, force=force, progress=watch)
    if json:
        print_json(report.to_dict())
    else:
        typer.echo(str(report))


def show_recipes(*, json: bool) -> None:
    from filtercrawl.subsets.shipped import shipped_recipes

    recipes = shipped_recipes().values()
    if json:
        print_json({"recipes": [{"sha256": recipe.sha256, **recipe.to_toml_values()} for recipe in recipes]})
        return
    for recipe in recipes:
        typer.echo(f"{recipe.name:<16} {recipe.description}")
