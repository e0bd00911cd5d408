"""Rows of a result table that is too large for memory: appended one batch after the other, kept in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

# Batches are joined to about so many rows: each becomes a row group of the Parquet file.
_BATCH_ROWS: Final = 50_000


class SpooledRows:
    """Rows in an unnamed temporary file, which the operating system removes with the process.

    Append batches, then give `ResultTable(rows=spooled.first(30), batches=spooled.batches, ...)`.
    """

    def __init__(self, schema: pa.Schema) -> None:
        """Create the file.

        Args:
            schema: Columns of the rows.
        """
        self.schema = schema
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)
        self._writer: pa.RecordBatchStreamWriter | None = pa.ipc.new_stream(
            self._file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
        )
        self._pending: list[pa.RecordBatch] = []
        self._n_pending = 0

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows at the end.

        Raises:
            ValueError: Rows were read already.
        """
        if self._writer is None:
            raise ValueError("no rows can be added once they were read")
        self._pending.append(batch)
        self._n_pending += batch.num_rows
        if self._n_pending >= _BATCH_ROWS:
            self._flush(self._writer)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows, from the first, each time that it is called."""
        if self._writer is not None:
            self._flush(self._writer)
            self._writer.close()
            self._writer = None
        self._file.seek(0)
        yield from pa.ipc.open_stream(self._file)

    def first(self, count: int) -> pa.Table:
        """Return the first rows, at most `count`."""
        batch = next(self.batches(), None)
        found = self.schema.empty_table() if batch is None else pa.Table.from_batches([batch])
        return found.slice(0, count)

    def _flush(self, writer: pa.RecordBatchStreamWriter) -> None:
        if self._n_pending:
            rows = pa.Table.from_batches(self._pending, schema=self.schema).combine_chunks()
            writer.write_table(rows)
        self._pending, self._n_pending = [], 0
