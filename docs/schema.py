"""Write `docs/schema.md` from the schemas and what their columns mean; a test holds the page against them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from filtercrawl.dataset.schema.arrow import ROWS, SCHEMA_VERSION
from filtercrawl.dataset.schema.column import TableRow
from filtercrawl.dataset.schema.layer_row import LayerRow
from filtercrawl.dataset.schema.subset_rows import SubsetRow, SubsetWeightRow

ABOUT = {
    "layers": "A row a layer, or a part of one, with its weight. These files never change.",
    "index": "A row a layer: everything but the weight, and where the weight lies.",
    "models": "A row a checkpoint that was ever seen.",
    "ledger": "A row a tensor: emitted, or skipped and why.",
    "samples": "A row a kernel, at most 64 a layer, picked by hash.",
    "sketches": "A row a layer: sums that merge with those of others, so that analyses need no weight.",
    "effective": "A row a layer that is not convolved with as it is stored: how its effective weight follows.",
    "preview": "A row a layer with a picture of its kernels.",
    "renames": "A row a checkpoint whose source gave it another name.",
    "withdrawn": "A row a checkpoint that was taken out for good.",
    "sources": "A row a selector that was listed.",
    "runs": "A row a run of `sync` or `release`: what it did and cost. No part of the root hash.",
    "files": "A row a file of the dataset.",
    "subset": "A row a layer of a [subset](subsets.md); the config is `subset-NAME`.",
    "subset-weights": "Kernels of a layer of a subset that was made with `--materialize`.",
}
INTRODUCTION = f"""# Schema

Written by `python docs/schema.py` from the schemas themselves, version {SCHEMA_VERSION}. Within a major version columns
are only added, and may be null. Unknown is null, never a guess. [The dataset](dataset.md) says how tables and files
belong together.
"""


def page() -> str:
    """Return the page: a section a table, a line a column."""
    tables = {"layers": LayerRow, **ROWS, "subset": SubsetRow, "subset-weights": SubsetWeightRow}
    return "\n".join([INTRODUCTION, *(section(name, row) for name, row in tables.items())])


def section(name: str, row: type[TableRow]) -> str:
    rows = [
        f"| `{field.name}` | {kind(field)} | {row.DESCRIPTIONS[field.name].replace('|', chr(92) + '|')} |"
        for field in row.SCHEMA
    ]
    return "\n".join([f"## {name}\n", f"{ABOUT[name]}\n", "| column | type | meaning |", "|---|---|---|", *rows, ""])


def kind(field: pa.Field) -> str:
    text = str(field.type).replace("element: ", "").replace("item: ", "")
    return f"`{text}`" + ("" if field.nullable else ", never null")


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), "utf-8")
