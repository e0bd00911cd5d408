"""A row of `ledger`: one tensor of a checkpoint."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from filtercrawl.dataset.schema.column import TableRow, column, column_like, table_row
from filtercrawl.dataset.schema.layer_row import ConvolutionRow


@table_row
class LedgerRow(TableRow):
    """One tensor: emitted as a layer, or skipped for a reason."""

    model_id: str = column_like(ConvolutionRow, "model_id")
    tensor: str = column_like(ConvolutionRow, "tensor")
    shape: tuple[int, ...] = column(pa.list_(pa.int64()), "shape of the tensor in the file")
    dtype: str = column(pa.string(), "type of its numbers in the file")
    outcome: Literal["emitted", "skipped"] = column(pa.string(), "emitted or skipped")
    reason: str | None = column(pa.string(), "why it was skipped, a word of a fixed vocabulary", default=None)
