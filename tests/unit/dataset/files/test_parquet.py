"""Row groups end by what is in the rows: those that come or go leave the bytes of the other groups as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.dataset.files.parquet import ContentDefinedBoundary, record_batches, write_table

SCHEMA = pa.schema([("layer_id", pa.string()), ("task", pa.string()), ("norm", pa.float32())])
MODELS, LAYERS = 100, 60
CUT = ContentDefinedBoundary(key="layer_id", one_in=200)


def groups(folder: Path, models: Sequence[int]) -> dict[bytes, int]:
    """The bytes of every row group of a table of these models, as a hash, with their number."""
    rows = [
        {"layer_id": f"zoo/{model}#layer{place}.weight", "task": f"task {model % 7}", "norm": model / (1 + place)}
        for model in models
        for place in range(LAYERS)
    ]
    assert write_table(folder, "table.parquet", SCHEMA, record_batches(rows, SCHEMA, cut=CUT))
    data, found = (folder / "table.parquet").read_bytes(), {}
    about = pq.read_metadata(folder / "table.parquet")
    for number in range(about.num_row_groups):
        columns = [about.row_group(number).column(place) for place in range(about.num_columns)]
        starts = [min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset) for c in columns]
        stop = max(start + c.total_compressed_size for start, c in zip(starts, columns, strict=True))
        found[hashlib.sha256(data[min(starts) : stop]).digest()] = stop - min(starts)
    assert pq.read_table(folder / "table.parquet").num_rows == len(rows)
    return found


def sent(before: dict[bytes, int], after: dict[bytes, int]) -> float:
    """The share of a table whose row groups were not there before."""
    return sum(size for group, size in after.items() if group not in before) / sum(after.values())


def test_a_model_that_comes_or_goes_changes_the_groups_it_is_in(tmp_path: Path) -> None:
    every = range(MODELS)
    before = groups(tmp_path, every)
    assert 15 < len(before) < 60
    added, removed = (
        sent(before, groups(tmp_path, [*every, MODELS])),
        sent(before, groups(tmp_path, [model for model in every if model != 3])),
    )
    # Groups have 200 rows in the mean and lie as a hash wants them; a model has 60.
    assert 0 < added < 0.15
    assert 0 < removed < 0.15
