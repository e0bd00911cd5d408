"""Tables of filters that users bring: matched by id, or refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl_analysis.statistics.filters.joined_table import JoinedTable, numbers

IDS = ["b#w:2", "a#w:0", "b#w:0", "a:c#w@1:1"]


def test_columns_come_in_the_order_of_filters() -> None:
    table = JoinedTable(pa.table({"filter_id": IDS, "score": [0.2, 0.1, 0.4, 0.5], "kept": list("yyny")}), "t")
    (score, kept), found = table.of_layer("b#w", 4)
    assert score.to_pylist() == [0.4, None, 0.2, None]
    assert kept.to_pylist() == ["n", None, "y", None]
    assert found == 2
    assert table.of_layer("a:c#w@1", 2)[0][0].to_pylist() == [None, 0.5]
    assert table.of_layer("unknown", 2) == ([pa.nulls(2, pa.float64()), pa.nulls(2, pa.string())], 0)
    assert table.of_layer("b#w", 1)[1] == 1  # channel 2 is none of this layer
    assert table.numeric == ("score",)
    assert numbers(score)[[0, 2]].tolist() == [0.4, 0.2]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_both_formats_and_both_kinds_of_ids(tmp_path: Path, suffix: str) -> None:
    rows = pa.table({"layer_id": ["a#w", "a#w"], "out_channel": [1, 0], "score": [5, 7], "__index_level_0__": [0, 1]})
    path = tmp_path / f"scores.{suffix}"
    if suffix == "csv":
        path.write_text("layer_id,out_channel,score,__index_level_0__\na#w,1,5,0\na#w,0,7,1\n")
    else:
        pq.write_table(rows, path)
    table = JoinedTable.read(path)
    assert table.of_layer("a#w", 2)[0][0].to_pylist() == [7, 5]
    assert [field.name for field in table.fields] == ["score"]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"score": [1]}, "needs a column filter_id, or layer_id and out_channel; has score"),
        ({"filter_id": ["a#w:0"]}, "no column beside the ids"),
        ({"filter_id": ["a#w:0"], "dead": [True]}, "the column 'dead' is one of the table of filters"),
        ({"filter_id": ["a#w:0", "a#w:0"], "x": [1, 2]}, "the filter a#w:0 has two rows"),
        ({"filter_id": ["a#w"], "x": [1]}, "the filter_id 'a#w' is not a layer_id, a colon and a channel"),
        ({"layer_id": ["a"], "out_channel": ["first"], "x": [1]}, "the ids cannot be read"),
        ({"filter_id": [["a#w:0"]], "x": [1]}, "the ids cannot be read"),
        ({"layer_id": ["a", None], "out_channel": [1, 2], "x": [1, 2]}, "a row has no layer_id or no out_channel"),
    ],
)
def test_tables_that_cannot_be_joined(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        JoinedTable(pa.table(columns), "t")


@pytest.mark.parametrize("name", ["missing.csv", "broken.parquet"])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.parquet").write_text("no")
    with pytest.raises(UsageError, match=f"--join .*{name}: cannot be read as"):
        JoinedTable.read(tmp_path / name)


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("filter_id,x,x\na#w:0,1,2\n")
    with pytest.raises(UsageError, match="two columns have the same name"):
        JoinedTable.read(tmp_path / "twice.csv")
