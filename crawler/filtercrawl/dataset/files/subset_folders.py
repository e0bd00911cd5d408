"""The subsets of a dataset folder: `subsets/NAME-HASH/`, each made from a recipe."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from filtercrawl.api.errors import DatasetError

logger = logging.getLogger(__name__)

FOLDER: Final = "subsets"
ABOUT: Final = "subset.json"
WEIGHTS: Final = "weights"
CARD: Final = "README.md"
EXCLUDED: Final = "excluded.parquet"
# The name of a subset's config is this and the subset's name.
CONFIG_PREFIX: Final = "subset-"
SPLITS: Final = ("train", "validation", "test")
# Digits of the recipe's hash in the name of a folder.
_DIGITS: Final = 12
# Below a dataset; a subset that was written elsewhere may be in a folder of any name.
_FOLDER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
SPLIT_FILE: Final = re.compile(rf"{FOLDER}/(?P<folder>{_FOLDER_NAME.pattern})/(?P<split>{'|'.join(SPLITS)})\.parquet")


@dataclass(frozen=True, kw_only=True)
class SubsetFolder:
    """A subset in a dataset folder.

    Attributes:
        folder_name: `NAME-HASH`.
        name: Of the recipe.
        version: Of the recipe.
        description: Of the recipe.
        recipe_sha256: Of the recipe.
        splits: Layers by split, in order.
    """

    folder_name: str
    name: str
    version: int
    description: str
    recipe_sha256: str
    splits: Mapping[str, int]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `subset.json` in a folder says.

        Raises:
            DatasetError: It cannot be read.
        """
        about = read_about(path)
        try:
            found = cls(
                folder_name=path.name,
                name=str(about["name"]),
                version=int(about["version"]),
                description=str(about["description"]),
                recipe_sha256=str(about["recipe_sha256"]),
                splits={str(name): int(counts["layers"]) for name, counts in about["splits"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(f"{path / ABOUT}: is not that of a subset ({error!r}); make it again") from error
        if unknown := found.splits.keys() - set(SPLITS):
            raise DatasetError(f"{path / ABOUT}: has the split {min(unknown)!r}, which no subset has; make it again")
        return found

    def path(self, split: str) -> str:
        """Return the path of the file of a split, relative to the dataset."""
        return f"{FOLDER}/{self.folder_name}/{split}.parquet"

    @property
    def paths(self) -> dict[str, str]:
        """Path by split."""
        return {split: self.path(split) for split in self.splits}


def folder_name(name: str, recipe_sha256: str) -> str:
    """Return `NAME-HASH`, the name of the folder of a subset in that of its dataset."""
    return f"{name}-{recipe_sha256[:_DIGITS]}"


def read_about(path: Path) -> dict[str, Any]:
    """Return what `subset.json` in a folder says.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        about = json.loads((path / ABOUT).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path / ABOUT}: cannot be read ({error}); make the subset again") from error
    if not isinstance(about, dict):
        raise DatasetError(f"{path / ABOUT}: is no JSON object; make the subset again")
    return about


def subset_folders(dataset: Path) -> list[SubsetFolder]:
    """Return the subsets of a dataset folder that can be read, by folder name; the others are named in the log.

    Names of configs are unique because a folder is named after its recipe: a copy by another name is no subset.
    """
    found = []
    for path in sorted((dataset / FOLDER).glob("[a-z0-9]*/")):
        try:
            subset = SubsetFolder.read(path)
        except DatasetError as error:
            logger.warning("%s", error)
            continue
        if _FOLDER_NAME.fullmatch(path.name) and path.name == folder_name(subset.name, subset.recipe_sha256):
            found.append(subset)
        else:
            logger.warning("%s: is not named after its recipe, as a subset of a dataset is; move it elsewhere", path)
    return found


def config_names(subsets: Iterable[SubsetFolder]) -> dict[str, SubsetFolder]:
    """Return the subsets by the name of their config, in order of names.

    `subset-NAME` is the one of the highest version; others of that name, and all where two have that version, are
    `subset-NAME-HASH`.
    """
    by_name: dict[str, list[SubsetFolder]] = {}
    for subset in subsets:
        by_name.setdefault(subset.name, []).append(subset)
    found = {}
    for name, same in by_name.items():
        latest = [subset for subset in same if subset.version == max(other.version for other in same)]
        for subset in same:
            plain = latest == [subset]
            found[f"{CONFIG_PREFIX}{name if plain else subset.folder_name}"] = subset
    return dict(sorted(found.items()))
