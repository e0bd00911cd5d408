"""The tables of the dataset: their rows and Arrow schemas, by the name of the table.

Within one major version of the schema, columns are only added, and may be null. The schema of `layers` is frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from filtercrawl.dataset.schema.column import TableRow
from filtercrawl.dataset.schema.derived_rows import PreviewRow, SampleRow, SketchRow
from filtercrawl.dataset.schema.effective_row import EffectiveRow
from filtercrawl.dataset.schema.layer_row import IndexRow, LayerRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.listing_rows import FileRow, RenameRow, SourceRow, WithdrawnRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.run_row import RunRow

SCHEMA_VERSION: Final = 1

# A row of `layers` holds at most this many numbers (16 MiB of float32), or one output channel.
ROW_NUMBERS: Final = 4_194_304
# Bytes of weights in a row group, at most. 64 MiB would be allowed; one full row keeps the memory of a writer low.
ROW_GROUP_BYTES: Final = 16_777_216

LAYERS: Final = LayerRow.SCHEMA
INDEX: Final = IndexRow.SCHEMA
MODELS: Final = ModelRow.SCHEMA
LEDGER: Final = LedgerRow.SCHEMA
SAMPLES: Final = SampleRow.SCHEMA
SKETCHES: Final = SketchRow.SCHEMA
EFFECTIVE: Final = EffectiveRow.SCHEMA
PREVIEW: Final = PreviewRow.SCHEMA
FILES: Final = FileRow.SCHEMA

# The row of every table but `layers`, by the name of its config.
ROWS: Final[Mapping[str, type[TableRow]]] = {
    "index": IndexRow,
    "models": ModelRow,
    "ledger": LedgerRow,
    "samples": SampleRow,
    "sketches": SketchRow,
    "effective": EffectiveRow,
    "preview": PreviewRow,
    "renames": RenameRow,
    "withdrawn": WithdrawnRow,
    "sources": SourceRow,
    "runs": RunRow,
    "files": FileRow,
}
TABLES: Final[Mapping[str, pa.Schema]] = {name: row.SCHEMA for name, row in ROWS.items()}
