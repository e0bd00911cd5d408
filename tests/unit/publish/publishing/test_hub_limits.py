"""Counting what the Hub limits."""

from __future__ import annotations

import pytest

from filtercrawl_publish.publishing.hub_limits import count_folder_entries, is_large


def test_entries_are_files_and_folders_directly_in_a_folder() -> None:
    paths = ["README.md", "data/a.parquet", "data/b.parquet", "data/layers/x/1.parquet", "data/layers/x/2.parquet"]
    assert count_folder_entries(paths) == {"": 2, "data": 3, "data/layers": 1, "data/layers/x": 2}
    assert count_folder_entries([]) == {}


@pytest.mark.parametrize(
    ("path", "size", "large"),
    [
        ("data/a.parquet", 1, True),
        ("analysis/figures/a.png", 1, True),
        ("README.md", 1, False),
        ("analysis/report.html", 10 * 1024 * 1024, False),
        ("analysis/report.html", 10 * 1024 * 1024 + 1, True),
    ],
)
def test_large_files(path: str, size: int, large: bool) -> None:
    assert is_large(path, size) is large
