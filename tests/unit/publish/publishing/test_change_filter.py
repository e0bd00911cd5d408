"""Bookkeeping alone is no new version."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl_publish.publishing.change_filter import content_rows, same_card_text


@pytest.mark.parametrize(
    ("after", "same"),
    [
        (f"digest {'b' * 64}, 12 MB, 3 models", True),
        (f"digest {'a' * 64}, 9.5 kB, 3 models", True),
        (f"digest {'a' * 64}, 12 MB, 4 models", False),
        (f"digest {'a' * 64}, 12 MB, 3 models. By hand.", False),
    ],
)
def test_card_text(after: str, same: bool) -> None:
    assert same_card_text(f"digest {'a' * 64}, 12 MB, 3 models".encode(), after.encode()) is same


def test_content_rows_leave_bookkeeping_out(tmp_path: Path) -> None:
    (tmp_path / "data/models").mkdir(parents=True)
    row = {"model_id": "a", "outcome": "failed", "last_seen": 1, "attempts": 2, "etag": "x", "url": "u"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data/models/part.parquet")
    path = "data/models/part.parquet"
    assert content_rows(tmp_path, "models", [path, "data/models/part-0.parquet"]) == [
        {"model_id": "a", "outcome": "failed"}
    ]
    pq.write_table(pa.Table.from_pylist([{"source": "local", "listed": 1}]), tmp_path / "data/sources.parquet")
    assert content_rows(tmp_path, "sources", ["data/sources.parquet"]) == [{"source": "local"}]
