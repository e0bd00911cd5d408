"""Write a subset as a folder that appears as a whole or not at all."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path
from typing import Final

from filtercrawl.dataset.files.atomic import write_text
from filtercrawl.dataset.files.new_folder import move_folder, remove_unfinished, unfinished_folder
from filtercrawl.dataset.files.parquet import write_table
from filtercrawl.dataset.files.subset_folders import ABOUT, CARD, EXCLUDED
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.schema.subset_rows import ExcludedLayerRow, SubsetRow
from filtercrawl.load.location import DatasetLocation
from filtercrawl.subsets.build import SubsetContent
from filtercrawl.subsets.card import render_card
from filtercrawl.subsets.weights import write_weights

# Rows of a row group: of large layers a row has some megabytes of bits.
_BATCH_ROWS: Final = 1_000


def write_subset(content: SubsetContent, target: Path, weights_of: DatasetLocation | None = None) -> bool:
    """Make `target` the folder of a subset; False if it is already, file by file.

    Args:
        content: The subset.
        target: The folder.
        weights_of: The dataset whose weights are written too; None for the manifest alone.

    Raises:
        DatasetError: The disk refuses.
    """
    place = target.resolve()  # a link stays a link
    remove_unfinished(place.parent, place.name)
    with unfinished_folder(place) as folder:
        _write_files(content, folder, weights_of)
        if place.is_dir() and _is_same(folder, place):
            return False
        move_folder(folder, place)
    return True


def _write_files(content: SubsetContent, folder: Path, weights_of: DatasetLocation | None) -> None:
    for split in content.about["splits"]:
        rows = content.split(split).combine_chunks().to_batches(max_chunksize=_BATCH_ROWS)
        write_table(folder, f"{split}.parquet", SubsetRow.SCHEMA, rows)
    write_table(folder, EXCLUDED, ExcludedLayerRow.SCHEMA, content.excluded.to_batches(max_chunksize=100_000))
    write_text(folder / ABOUT, folder, json.dumps(content.about, indent=1, sort_keys=True) + "\n")
    header = "" if weights_of is None else write_weights(content, weights_of, folder)
    write_text(folder / CARD, folder, header + render_card(content.about))
    shutil.rmtree(folder / HIDDEN, ignore_errors=True)  # where each file was written before it was moved


def _is_same(a: Path, b: Path) -> bool:
    names = _files(a)
    if names != _files(b):
        return False
    return not any(filecmp.cmpfiles(a, b, names, shallow=False)[1:])


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
