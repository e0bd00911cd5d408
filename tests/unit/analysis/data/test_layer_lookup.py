"""Lookup of rows by a hash: all of them, in the order of the files, from few row groups and with bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.data import layer_lookup
from filtercrawl_analysis.data.layer_lookup import LayerRowLookup

SCHEMA = pa.schema([pa.field("layer_sha256", pa.string()), pa.field("value", pa.int64())])


def write(path: Path, names: list[str | None], group_rows: int = 2) -> Path:
    rows = pa.table({"layer_sha256": pa.array(names, pa.string()), "value": np.arange(len(names))})
    pq.write_table(rows, path, row_group_size=group_rows)
    return path


def found(lookup: LayerRowLookup, names: list[str]) -> list[dict[str, Any]]:
    return [row for table in lookup.tables(names) for row in table.to_pylist()]


names = st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), min_size=1, max_size=12)


@given(stored=st.lists(names, min_size=1, max_size=3), asked=st.lists(st.sampled_from("abcdef"), max_size=4))
def test_all_rows_are_found_in_the_order_of_the_files(
    tmp_path_factory: pytest.TempPathFactory, stored: list[list[str | None]], asked: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("lookup")
    paths = [write(folder / f"{number}.parquet", of_file) for number, of_file in enumerate(stored)]
    expected = [
        {"layer_sha256": name, "value": value}
        for of_file in stored
        for value, name in enumerate(of_file)
        if name in asked
    ]
    lookup = LayerRowLookup(paths, SCHEMA)
    for _ in range(2):
        assert found(lookup, asked) == expected


def test_hashes_with_one_checksum_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_lookup.zlib, "crc32", lambda _: 7)
    lookup = LayerRowLookup([write(tmp_path / "part.parquet", ["a", "b", "c"])], SCHEMA)
    assert [row["layer_sha256"] for row in found(lookup, ["c", "a"])] == ["a", "c"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are opened, once for each row group that is read."""
    paths: list[Path] = []
    original = layer_lookup.open_parquet
    monkeypatch.setattr(layer_lookup, "open_parquet", lambda path: paths.append(path) or original(path))
    return paths


def test_only_row_groups_with_the_layers_are_read_and_each_once(tmp_path: Path, opened: list[Path]) -> None:
    lookup = LayerRowLookup([write(tmp_path / "part.parquet", list("aabbccdd"))], SCHEMA)
    found(lookup, [])
    opened.clear()
    for _ in range(3):
        assert len(found(lookup, ["b", "d"])) == 4
    assert len(opened) == 2


def test_row_groups_in_memory_are_bounded(tmp_path: Path, opened: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_lookup, "_KEPT_BYTES", 100)
    lookup = LayerRowLookup([write(tmp_path / "part.parquet", [f"n{i}" for i in range(40)])], SCHEMA)
    for _ in range(2):
        assert len(found(lookup, [f"n{i}" for i in range(40)])) == 40
        assert sum(table.nbytes for table in lookup._kept.values()) == lookup._kept_bytes <= 100
    assert len(opened) == 1 + 2 * 20
