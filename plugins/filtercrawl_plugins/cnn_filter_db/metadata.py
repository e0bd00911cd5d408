"""Map the columns of the published table to the metadata of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from filtercrawl.api.checkpoint import CheckpointMetadata
from filtercrawl_plugins.cnn_filter_db.cells import Cell, UnknownObject
from filtercrawl_plugins.cnn_filter_db.models import to_label
from filtercrawl_plugins.metadata.visual_categories import CATEGORIES

# Tasks that the Hub has as well. Others keep their name, because the paper groups models by them.
HUB_TASKS: Final = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "object-detection": "object-detection",
    "depth-estimation": "depth-estimation",
}
# Characters of a cell; longer cells are dropped.
MAX_CELL_LENGTH: Final = 2000

# Names of datasets are compared without case and punctuation: `ImageNet-1k`, `imagenet1k`.
_PUNCTUATION: Final = re.compile(r"[^a-z0-9]")
_DATASET_NAMES: Final = {_PUNCTUATION.sub("", name): name for name in CATEGORIES if "/" not in name}


def parse_metadata(columns: Mapping[str, Cell]) -> CheckpointMetadata:
    """Return the metadata of a model; all columns as published are in `extra["cnn_filter_db"]`.

    Args:
        columns: Cells of the model by column.
    """
    task = normalize_task(columns.get("Task"))
    category = columns.get("Visual Category")
    published = {
        column: restore_int(cell) for column, cell in columns.items() if column != "Architecture" and is_storable(cell)
    }
    return CheckpointMetadata(
        task=None if task is None else HUB_TASKS.get(task, task),
        training_datasets=(
            *split_datasets(columns.get("Pretraining-Dataset")),
            *split_datasets(columns.get("Training-Dataset")),
        ),
        visual_category=lower(category if category is not None else columns.get("Datatype")),
        # Only files that `filtercrawl export` wrote have this column: there `Name` is the name of a checkpoint.
        architecture=to_label(columns["Architecture"] if "Architecture" in columns else columns.get("Name")),
        paper=to_label(columns.get("Paper")),
        extra={"cnn_filter_db": published},
    )


def is_storable(cell: Cell) -> bool:
    """Return whether a cell can be stored as JSON: short text or a finite number."""
    if cell is None or isinstance(cell, UnknownObject):
        return False
    return len(cell) <= MAX_CELL_LENGTH if isinstance(cell, str) else abs(cell) < float("inf")


def restore_int(cell: Cell) -> Cell:
    """Return an integral float as an int: pandas converts integer columns with missing values to float."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def split_datasets(cell: Cell) -> tuple[str, ...]:
    """Return the comma-separated datasets of a cell, renamed as in `metadata.visual_categories` where known."""
    names = (to_label(part) for part in cell.split(",")) if isinstance(cell, str) else ()
    return tuple(_DATASET_NAMES.get(_PUNCTUATION.sub("", name.casefold()), name) for name in names if name)


def normalize_task(cell: Cell) -> str | None:
    """Return a task in lower case with hyphens: `GAN Generator` becomes `gan-generator`."""
    text = lower(cell)
    return None if text is None else text.replace(" ", "-")


def lower(cell: Cell) -> str | None:
    """Return the text of a cell in lower case, None if it is not text."""
    text = to_label(cell) if isinstance(cell, str) else None
    return None if text is None else text.lower()
