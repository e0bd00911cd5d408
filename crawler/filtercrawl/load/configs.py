"""The configs of a dataset and their files, as its card lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card.card import PATH as CARD
from filtercrawl.dataset.card.card import Card
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import files_of, table_of
from filtercrawl.load.location import DatasetLocation, FolderLocation, reading


def config_paths(location: DatasetLocation) -> dict[str, tuple[str, ...]]:
    """Return the paths and patterns of each config.

    Raises:
        DatasetError: The card is missing or cannot be read.
        NetworkError: The Hub does not answer.
    """
    with reading(location, CARD):
        text = location.file(CARD).read_text("utf-8")
    try:
        return {str(config["config_name"]): tuple(_paths(config)) for config in Card.parse(text).header["configs"]}
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{location}: {CARD} lists no configs") from error


def table_files(location: DatasetLocation, table: str) -> tuple[str, ...]:
    """Return the paths of a table's files; none where the dataset has no rows of it.

    Raises:
        DatasetError: The manifest or the card, which a publisher wrote, names a file of something else.
        NetworkError: The Hub does not answer.
    """
    stated = DatasetFolder(location.root, str(location)).stated_files(table)
    if stated is not None:
        return stated
    if isinstance(location, FolderLocation):
        return tuple(path.relative_to(location.root).as_posix() for path in files_of(location.root, table))
    # A version that was published before the manifest named the files.
    paths = config_paths(location).get(table, ())
    for path in paths:
        if not path.startswith("data/") or "\\" in path or table_of(path) != table:
            raise DatasetError(f"{location}: {path!r} in {CARD} is not the path of a file of {table}")
    return paths


def _paths(config: Mapping[str, Any]) -> list[str]:
    """Return the paths and patterns of one entry of `configs` in a card's header."""
    return [str(path) for split in config["data_files"] for path in split["path"]]
