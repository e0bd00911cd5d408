"""What the table says of a model, in the words of this dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from filtercrawl.api.checkpoint import CheckpointMetadata
from filtercrawl_plugins.cnn_filter_db.cells import Cell, UnknownObject
from filtercrawl_plugins.cnn_filter_db.models import to_label
from filtercrawl_plugins.metadata.visual_categories import CATEGORIES

# Tasks for which the Hub has the same word; the others keep their own, for each is a group of the paper.
TASKS: Final = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "object-detection": "object-detection",
    "depth-estimation": "depth-estimation",
}
# Characters of one cell that are kept.
LONG: Final = 2000

_SQUEEZE: Final = re.compile(r"[^a-z0-9]")
_DATASETS: Final = {_SQUEEZE.sub("", name): name for name in CATEGORIES}


def parse_metadata(facts: Mapping[str, Cell]) -> CheckpointMetadata:
    """Return what is known of a model; every column as published is in `extra["cnn_filter_db"]`."""
    task = split_words(facts.get("Task"))
    category = facts.get("Visual Category")
    kept = {column: parse_int(cell) for column, cell in facts.items() if column != "Architecture" and keeps(cell)}
    return CheckpointMetadata(
        task=None if task is None else TASKS.get(task, task),
        training_datasets=(*datasets(facts.get("Pretraining-Dataset")), *datasets(facts.get("Training-Dataset"))),
        visual_category=lower(category if category is not None else facts.get("Datatype")),
        # The table has no column for it; what `filtercrawl export` writes has, for its names are those of checkpoints.
        architecture=to_label(facts["Architecture"] if "Architecture" in facts else facts.get("Name")),
        paper=to_label(facts.get("Paper")),
        extra={"cnn_filter_db": kept},
    )


def keeps(cell: Cell) -> bool:
    if cell is None or isinstance(cell, UnknownObject):
        return False
    return len(cell) <= LONG if isinstance(cell, str) else abs(cell) < float("inf")


def parse_int(cell: Cell) -> Cell:
    """Return a count as one: pandas turns a column of counts with gaps into floats."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def datasets(cell: Cell) -> tuple[str, ...]:
    """Return the data sets of a cell, which commas separate, under the names that this dataset has for them."""
    stated = (to_label(part) for part in cell.split(",")) if isinstance(cell, str) else ()
    return tuple(_DATASETS.get(_SQUEEZE.sub("", name.casefold()), name) for name in stated if name)


def split_words(cell: Cell) -> str | None:
    """Return a term as one word: `GAN-Generator` is `gan-generator`."""
    text = lower(cell)
    return None if text is None else text.replace(" ", "-")


def lower(cell: Cell) -> str | None:
    text = to_label(cell) if isinstance(cell, str) else None
    return None if text is None else text.lower()
