"""The function behind `filtercrawl.subset` and the command of that name."""

from __future__ import annotations

from pathlib import Path

from filtercrawl.api.errors import PolicyError, UsageError
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings, resolve
from filtercrawl.dataset.catalog.recovery import export_if_needed, open_dataset
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.new_folder import remove_unfinished
from filtercrawl.dataset.files.subset_folders import ABOUT, FOLDER, WEIGHTS, read_about
from filtercrawl.display.session import open_progress
from filtercrawl.load.location import DatasetLocation, FolderLocation, open_location, read_dataset_id
from filtercrawl.subsets.build import build_subset
from filtercrawl.subsets.recipe import Recipe
from filtercrawl.subsets.report import SubsetReport
from filtercrawl.subsets.shipped import find_recipe
from filtercrawl.subsets.write import write_subset


def subset(
    recipe: str | Path | Recipe,
    repo_or_path: str | Path | None = None,
    *,
    out: str | Path | None = None,
    materialize: bool = False,
    dry_run: bool = False,
    force: bool = False,
    revision: str | None = None,
    progress: bool | Progress | None = None,
) -> SubsetReport:
    """Make a subset of a dataset: the layers and kernels that a recipe selects, by reference.

    The same recipe on the same version of a dataset gives the same bytes on every machine. Nothing is seen
    half-written. A subset in the folder of its dataset is a config of it, `subset-NAME`, and is published with it.

    Args:
        recipe: A TOML file, the `subset.json` of a subset, or the name of a recipe that comes with filtercrawl.
        repo_or_path: A folder, `org/name` or `org/name@revision`; by default `filtercrawl-dataset` or the dataset that
            the settings name.
        out: Where to write the folder, outside that of the dataset; by default `subsets/NAME-HASH` in it. Needed for
            a repository.
        materialize: Whether to write the weights too, so that `datasets` loads the folder alone; only with `out`.
        dry_run: Whether to write nothing.
        force: Whether `out` may replace the folder of another subset, or one with weights by one without.
        revision: A branch, tag or commit of a repository; by default `main`.
        progress: As for `filtercrawl.sync`.

    Raises:
        UsageError: The recipe or the dataset is not understood, `out` is in the dataset, or no kernel is left.
        PolicyError: `out` is the folder of another subset, or has weights that would be lost.
        DatasetError: The dataset is damaged, or the folder cannot be written.
        ConflictError: Another process works on the dataset.
        NetworkError: The Hub does not answer, or has no such repository or revision.

    Example:
        >>> report = filtercrawl.subset("healthy-3x3", "kernels")
        >>> print(report)
    """
    chosen = recipe if isinstance(recipe, Recipe) else find_recipe(recipe)
    if materialize and out is None:
        raise UsageError("weights are written into a folder of their own; name it by --out")
    location = open_location(repo_or_path or resolve({}).require_folder(), revision)
    if out is not None:
        _check_out(Path(out), location)
        if not force:
            _check_replaces_nothing(Path(out), location, chosen, materialize=materialize)
    with open_progress(progress, "reading") as shown:
        if dry_run or out is not None:
            content = build_subset(location, chosen, shown or NullProgress())
            target = None if dry_run or out is None else Path(out)
            changed = target is not None and write_subset(content, target, location if materialize else None)
        elif isinstance(location, FolderLocation):
            return _write_into(location, chosen, shown)
        else:
            raise UsageError(f"{location}: is no folder; say by --out where to write the subset")
    return SubsetReport(
        about=content.about, folder=target, changed=changed, root=_root(location.root), paths=_paths(target)
    )


def _write_into(location: FolderLocation, recipe: Recipe, progress: Progress) -> SubsetReport:
    """Write a subset into the folder of its dataset, and list it there."""
    dataset, target = location.root, location.root / FOLDER / recipe.folder_name
    with open_dataset(Settings(dataset=dataset)) as opened:
        catalog = opened.catalog
        export_if_needed(dataset, catalog)  # a killed run may have left tables that are older than the catalog
        remove_unfinished(target.parent)
        root = _root(dataset)
        content = build_subset(location, recipe, progress)
        # The list of files is about to be out of date: if this process is killed now, the next run corrects it.
        catalog.set_meta("stale", "1")
        changed = write_subset(content, target)
        export_if_needed(dataset, catalog)
    return SubsetReport(about=content.about, folder=target, changed=changed, root=root, paths=_paths(target))


def _check_out(target: Path, location: DatasetLocation) -> None:
    """Check where a subset is to be written before it is made.

    Raises:
        UsageError: It is in the dataset, or something else than a subset.
    """
    if target.resolve().is_relative_to(location.root.resolve()):
        raise UsageError(
            f"{target}: is in the dataset {location}; leave out --out for a subset that is published with the dataset, "
            "or name a folder elsewhere"
        )
    if target.exists() and not (target / ABOUT).is_file():
        raise UsageError(f"{target}: exists and is not the folder of a subset; name another --out")


def _check_replaces_nothing(target: Path, location: DatasetLocation, recipe: Recipe, *, materialize: bool) -> None:
    """Check that a folder is free, or that of the same subset with nothing that would be lost.

    Raises:
        PolicyError: It is not.
    """
    if not target.exists():
        return
    about = read_about(target)
    if about.get("recipe_sha256") != recipe.sha256 or about.get("dataset_id") != read_dataset_id(location):
        raise PolicyError(f"{target}: is the folder of another subset, {about.get('name')}; --force replaces it")
    if (target / WEIGHTS).is_dir() and not materialize:
        raise PolicyError(f"{target}: has weights; --materialize writes them again, --force replaces the folder")


def _root(dataset: Path) -> str | None:
    root = DatasetFolder(dataset).manifest().get("root")
    return root if isinstance(root, str) else None


def _paths(folder: Path | None) -> tuple[str, ...]:
    return (
        ()
        if folder is None
        else tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    )
