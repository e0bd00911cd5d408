"""Tables of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """A table of results, written as Parquet and CSV.

    Attributes:
        name: Name of its files, for example `drift_task`.
        title: Heading.
        rows: The table.
        about: One sentence on what it shows.
        excerpt_of: Name of the table that has all of these rows as well; its tests are not counted twice.
        batches: Yields all rows, for a table that is too large for memory; `rows` are then the first of them, which the
            page shows. See `SpooledRows`.
    """

    name: str
    title: str
    rows: pa.Table
    about: str = ""
    excerpt_of: str | None = None
    batches: Callable[[], Iterator[pa.RecordBatch]] | None = None
