"""All rows of `models` in one file, which tells a release on an empty machine in one download what is known.

A table has many parts. Where nothing is new, that is all of them that a release needs; see `releasing.outline`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.dataset.card.counts import FileTotals
from filtercrawl.dataset.files.atomic import remove
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.manifest import hashed_file
from filtercrawl.dataset.files.parquet import File, write_table
from filtercrawl.dataset.schema.arrow import MODELS

__all__ = ["CHECKPOINTS", "is_made_from", "write_checkpoints"]

CHECKPOINTS: Final = "data/checkpoints.parquet"
# In the metadata of the file: a digest of the files that it was made from.
_MADE_FROM: Final = b"models"


def write_checkpoints(dataset: Path) -> None:
    """Write the file from `models`: the same bytes on every machine. `files` lists it at the next export.

    Args:
        dataset: The dataset folder; locked.

    Raises:
        DatasetError: `models` cannot be read, or the disk refuses.
    """
    folder = DatasetFolder(dataset)
    files = [hashed_file(dataset, path.relative_to(dataset).as_posix()) for path in folder.table_paths("models")]
    schema = MODELS.with_metadata({_MADE_FROM: FileTotals.of(files).digest})
    if write_table(dataset, CHECKPOINTS, schema, _rows(folder)) is None:
        remove(dataset / CHECKPOINTS)


def is_made_from(path: Path, models: Iterable[File]) -> bool:
    """Tell whether the file at `path` was made from these files of `models`.

    A program that does not know the file may have published others beside it.

    Raises:
        OSError: It cannot be read; also ValueError and pyarrow.ArrowException.
    """
    stated = (pq.read_schema(path).metadata or {}).get(_MADE_FROM, b"")
    return bool(stated == FileTotals.of(models).digest.encode())


def _rows(folder: DatasetFolder) -> Iterator[pa.RecordBatch]:
    for path in folder.table_paths("models"):
        yield from folder.batches_of(path, "models")
