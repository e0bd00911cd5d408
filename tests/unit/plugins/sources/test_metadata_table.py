"""Metadata files that are small and hold much: what they say is counted before it is kept."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats import json_text
from filtercrawl_plugins.sources.local import metadata_table
from filtercrawl_plugins.sources.local.metadata_table import read_table


def write_parquet(folder: Path, rows: int, name: str = "a.pt") -> Path:
    path = folder / "metadata.parquet"
    names = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([name]))
    pq.write_table(pa.table({"file_name": names.cast(pa.string())}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    return path


def test_many_rows_of_parquet_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, 5_000_000)
    with pytest.raises(FormatError, match=r"metadata\.parquet: cannot be read \(more than 1,000,000 rows\)"):
        read_table(path, tmp_path)


def test_long_texts_that_a_column_repeats_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, 2_000, "a" * 200_000)
    with pytest.raises(FormatError, match=r"metadata\.parquet: cannot be read \(more than 268,435,456 bytes\)"):
        read_table(path, tmp_path)


@pytest.mark.parametrize(
    ("name", "text"), [("metadata.csv", "file_name\n" + "a\n" * 11), ("metadata.jsonl", '{"file_name": "a"}\n' * 11)]
)
def test_many_lines_are_refused(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_text(text)
    assert len(read_table(tmp_path / name, tmp_path)) == 11
    monkeypatch.setattr(metadata_table, "MAX_ROWS", 10)
    with pytest.raises(FormatError, match=rf"{name}: cannot be read \(more than 10 rows\)"):
        read_table(tmp_path / name, tmp_path)


def test_a_line_with_too_many_values_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_VALUES", 10)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a"}\n{"file_name": "b", "x": [' + "[]," * 10 + "[]]}\n")
    with pytest.raises(
        FormatError, match=r"metadata\.jsonl: cannot be read \(line 2: has \d+ values of JSON, at most 10"
    ):
        read_table(tmp_path / "metadata.jsonl", tmp_path)
