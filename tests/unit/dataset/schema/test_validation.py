"""What readers, sources and measures report is checked against the columns that will hold it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from filtercrawl.api.errors import FormatError
from filtercrawl.dataset.schema.arrow import INDEX, LEDGER
from filtercrawl.dataset.schema.crawl_state import CrawlState
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.validation import (
    RowCheck,
    fits,
    storable,
    unfit,
)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (2**31 - 1, pa.int32(), True),
        (2**31, pa.int32(), False),
        (-(2**31), pa.int32(), True),
        (-(2**31) - 1, pa.int32(), False),
        (2**63 - 1, pa.int64(), True),
        (2**63, pa.int64(), False),
        (1 << 20_000, pa.int64(), False),
        (True, pa.int64(), False),
        (1.0, pa.int64(), False),
        (1, pa.bool_(), False),
        (False, pa.bool_(), True),
        (1.5, pa.float64(), True),
        (float("nan"), pa.float64(), True),
        (1, pa.float64(), True),
        (10**400, pa.float64(), False),
        (True, pa.float64(), False),
        ("\U0001f600\0", pa.string(), True),
        ("\ud800", pa.string(), False),
        (b"x", pa.string(), False),
        ([1, 2], pa.list_(pa.int32()), True),
        ((1, 2**31), pa.list_(pa.int32()), False),
        ([1, None], pa.list_(pa.int32()), False),
        (1, pa.list_(pa.int32()), False),
        (["a", "\udfff"], pa.list_(pa.string()), False),
        (datetime(2026, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC"), True),
        ("2026-01-01", pa.timestamp("us", tz="UTC"), False),
    ],
    ids=itertools.count(),
)
def test_a_value_fits_its_column_or_not(value: object, kind: pa.DataType, expected: bool) -> None:
    assert fits(value, kind) is expected


def test_what_is_said_to_fit_is_taken_by_arrow() -> None:
    row = {"model_id": "a/b", "tensor": "\U0001f600", "shape": [2**63 - 1], "dtype": "x", "outcome": "skipped"}
    assert RowCheck(LEDGER).fault(row) is None
    assert pa.RecordBatch.from_pylist([row], schema=LEDGER).num_rows == 1


def test_a_row_is_checked_as_far_as_it_is_known() -> None:
    RowCheck(INDEX).require("net.pt", {"stride": [1, 1], "layer_sha256": None, "no_such_column": object()})
    with pytest.raises(FormatError, match=r"^net.pt: stride is \[1099511627776\], which does not fit .*int32"):
        RowCheck(INDEX).require("net.pt", {"stride": [2**40]})


def test_unfit_rows_are_found_among_many() -> None:
    sound = LedgerRow(model_id="a", tensor="w", shape=(1,), dtype="float32", outcome="emitted")
    wrong: list[dict[str, Any]] = [{"shape": (2**63,)}, {"tensor": "\ud800"}, {"dtype": None}, {"shape": (True,)}]
    bad = [replace(sound, **changes) for changes in wrong]
    rows = [sound] * 25_000
    for place, row in zip((0, 9_999, 10_000, 25_003), bad, strict=True):
        rows.insert(place, row)
    found = list(unfit(rows, LEDGER))
    assert [row for row, _ in found] == bad
    assert [fault.partition(" ")[0] for _, fault in found] == ["shape", "tensor", "dtype", "shape"]


def test_what_a_source_states_is_made_to_fit() -> None:
    row = ModelRow(
        model_id="a/b", source="a", name="b", outcome="emitted", license="mit\ud800", training_datasets=("a", "\udc80"),
        tag="\x1b[31m", step=2**70, seed=1, state=CrawlState(prefix="\ud800"),
    )  # fmt: skip
    expected = replace(row, license=r"mit\U0000d800", training_datasets=("a", r"\x80"), tag=r"\x1b[31m", step=None)
    assert storable(row) == expected
    assert storable(expected) is expected
