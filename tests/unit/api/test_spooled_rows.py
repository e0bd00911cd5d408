"""Rows in a temporary file come back as they were appended."""

from __future__ import annotations

import pyarrow as pa
import pytest

from filtercrawl.api import spooled_rows
from filtercrawl.api.spooled_rows import SpooledRows

SCHEMA = pa.schema([("x", pa.int64())])


def batch(start: int, stop: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(range(start, stop))], schema=SCHEMA)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_rows_come_back_in_order_each_time(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(spooled_rows, "_BATCH_ROWS", size)
    rows = SpooledRows(SCHEMA)
    for start, stop in ((0, 5), (5, 5), (5, 20), (20, 21)):
        rows.append(batch(start, stop))
    for _ in range(2):
        found = list(rows.batches())
        assert pa.Table.from_batches(found)["x"].to_pylist() == list(range(21))
        assert all(len(part) >= min(size, 21) for part in found[:-1])
    assert rows.first(3)["x"].to_pylist() == [0, 1, 2]


def test_no_rows() -> None:
    rows = SpooledRows(SCHEMA)
    assert list(rows.batches()) == []
    assert rows.first(3) == SCHEMA.empty_table()


def test_nothing_is_added_after_reading() -> None:
    rows = SpooledRows(SCHEMA)
    rows.append(batch(0, 2))
    rows.first(1)
    with pytest.raises(ValueError, match="no rows can be added"):
        rows.append(batch(2, 3))
