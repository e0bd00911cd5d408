"""Results that earlier runs kept: the same rows as computed ones, whatever became of the file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl_analysis.data.kept_results import KeptResults


class Lengths:
    """Computes the length of keys, null for empty ones, and counts what it was asked for."""

    def __init__(self, column: str = "length") -> None:
        self.column = column
        self.computed: list[str] = []

    def of(self, keys: Sequence[str]) -> Callable[[Sequence[int]], pa.Table]:
        def compute(positions: Sequence[int]) -> pa.Table:
            asked = [keys[position] for position in positions]
            self.computed += asked
            return pa.table({self.column: pa.array([len(key) or None for key in asked], pa.int64())})

        return compute


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / HIDDEN).mkdir()
    return tmp_path


def ask(folder: Path, keys: Sequence[str], lengths: Lengths | None = None, most: int = 100) -> list[int | None]:
    lengths = lengths or Lengths()
    table = KeptResults(folder, most).rows("lengths", keys, lengths.of(keys))
    assert table.column_names == [lengths.column]
    found: list[int | None] = table[lengths.column].to_pylist()
    return found


def kept_file(folder: Path) -> Path:
    (path,) = (folder / HIDDEN / "results").iterdir()
    return path


def test_only_what_is_not_kept_is_computed(dataset: Path) -> None:
    assert ask(dataset, ["bb", "a", "bb"]) == [2, 1, 2]
    later = Lengths()
    assert ask(dataset, ["ccc", "a", "bb", "ccc"], later) == [3, 1, 2, 3]
    assert later.computed == ["ccc"]


@settings(deadline=None, max_examples=10)
@given(st.lists(st.lists(st.text("ab", max_size=3), max_size=6), max_size=5), st.integers(0, 8))
def test_rows_are_those_of_the_keys_whatever_was_asked_before(runs: list[list[str]], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / HIDDEN).mkdir()
        for keys in runs:
            assert ask(Path(folder), keys, most=most) == [len(key) or None for key in keys]


@pytest.mark.parametrize("damage", [b"", b"PAR1", bytes(200)])
def test_a_file_that_is_no_table_is_replaced(dataset: Path, damage: bytes) -> None:
    ask(dataset, ["a"])
    kept_file(dataset).write_bytes(damage)
    again = Lengths()
    assert ask(dataset, ["a"], again) == [1]
    assert again.computed == ["a"]
    assert ask(dataset, ["a"], again) == [1]
    assert again.computed == ["a"]


def test_a_changed_byte_never_changes_a_result(dataset: Path) -> None:
    keys = ["a" * n for n in range(1, 40)]
    ask(dataset, keys)
    whole = kept_file(dataset).read_bytes()
    for place in range(0, len(whole), 89):
        kept_file(dataset).write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert ask(dataset, keys) == list(range(1, 40)), place


def test_results_of_a_version_with_other_columns_are_replaced(dataset: Path) -> None:
    ask(dataset, ["a", "bb"], Lengths("old"))
    assert ask(dataset, ["bb", "ccc"]) == [2, 3]
    assert pq.read_schema(kept_file(dataset)).names == ["length", "key"]


def test_results_of_another_version_of_numpy_are_computed_again(dataset: Path) -> None:
    ask(dataset, ["a"])
    path = kept_file(dataset)
    pq.write_table(pq.read_table(path).replace_schema_metadata({"numpy": "1.0", "scipy": "1.0"}), path)
    again = Lengths()
    ask(dataset, ["a"], again)
    assert again.computed == ["a"]


def test_results_that_nobody_asks_for_are_kept_up_to_a_number(dataset: Path) -> None:
    ask(dataset, ["a", "b", "c", "d"], most=3)
    assert pq.read_metadata(kept_file(dataset)).num_rows == 4
    ask(dataset, ["e"], most=3)
    assert pq.read_metadata(kept_file(dataset)).num_rows == 3
    again = Lengths()
    ask(dataset, ["e"], again)
    assert again.computed == []


def test_nothing_is_kept_in_a_folder_without_a_catalog(tmp_path: Path) -> None:
    assert ask(tmp_path, ["a"]) == [1]
    assert not list(tmp_path.iterdir())
