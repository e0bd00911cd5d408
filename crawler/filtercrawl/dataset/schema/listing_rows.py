"""Rows of the tables that list names, removals, selectors and files."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pyarrow as pa

from filtercrawl.dataset.schema.column import TableRow, column, column_like, table_row
from filtercrawl.dataset.schema.model_row import ModelRow

_time: Final = pa.timestamp("us", tz="UTC")


@table_row
class RenameRow(TableRow):
    """A checkpoint whose source gave it another name; its model_id stays."""

    model_id: str = column_like(ModelRow, "model_id")
    old_name: str = column(pa.string(), "old name in its source")
    new_name: str = column(pa.string(), "new name in its source")
    seen: datetime = column(_time, "when it was noticed")


@table_row
class WithdrawnRow(TableRow):
    """A checkpoint that was removed for good."""

    model_id: str = column_like(ModelRow, "model_id")
    reason: str = column(pa.string(), "why it was removed")
    withdrawn: datetime = column(_time, "when it was removed")


@table_row
class SourceRow(TableRow):
    """A selector that was listed."""

    selector_id: str = column(pa.string(), "id that `models.selectors` names")
    source: str = column(pa.string(), "the source that was asked")
    selector: str | None = column(
        pa.string(), "the selector as it was typed; null where it is a path of one machine", default=None
    )
    plugin: str | None = column(pa.string(), "plugin that provides the source", default=None)
    listed: datetime | None = column(_time, "when it was last listed in full", default=None)
    n_offered: int | None = column(pa.int64(), "checkpoints in that listing", default=None)
    ignored: str | None = column(
        pa.string(), "JSON: number of files in that listing that are no weights, by what they are", default=None
    )


@table_row
class FileRow(TableRow):
    """A published file."""

    path: str = column(pa.string(), "path relative to the dataset")
    size: int = column(pa.int64(), "size in bytes")
    sha256: str = column(pa.string(), "SHA-256 of the file")
