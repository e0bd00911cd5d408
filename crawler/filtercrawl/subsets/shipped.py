"""The recipes that come with filtercrawl."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import unknown_name
from filtercrawl.dataset.files.subset_folders import ABOUT
from filtercrawl.subsets.recipe import Recipe, parse_recipe, read_recipe

_FOLDER: Final = files("filtercrawl.subsets") / "recipes"


def shipped_recipes() -> dict[str, Recipe]:
    """Return the recipes that come with filtercrawl, by name."""
    names = sorted(entry.name for entry in _FOLDER.iterdir() if entry.name.endswith(".toml"))
    recipes = [parse_recipe((_FOLDER / name).read_text("utf-8"), name) for name in names]
    return {recipe.name: recipe for recipe in recipes}


def find_recipe(recipe: str | Path) -> Recipe:
    """Return the recipe of a TOML file or of a `subset.json`, or the one of this name that comes with filtercrawl.

    Raises:
        UsageError: There is none, or it cannot be read as a recipe.
    """
    path = Path(recipe)
    if path.is_dir() and str(recipe) not in shipped_recipes():
        raise UsageError(f"{path}: is a folder; name a TOML file, or the {ABOUT} of a subset")
    if path.suffix in (".toml", ".json") or path.is_file():
        return read_recipe(path)
    known = shipped_recipes()
    if str(recipe) not in known:
        raise UsageError(f"no file and no recipe is named {unknown_name(str(recipe), known)}")
    return known[str(recipe)]
