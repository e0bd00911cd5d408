"""The lock of a dataset folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.files.lock import locked


@pytest.mark.parametrize("error", [UsageError, DatasetError])
@pytest.mark.parametrize("before", [None, ".gitattributes", ".filtercrawl/catalog.sqlite"])
def test_wrong_usage_leaves_no_new_folder(tmp_path: Path, error: type[Exception], before: str | None) -> None:
    dataset = tmp_path / "dataset"
    if before is not None:
        (dataset / before).parent.mkdir(parents=True)
        (dataset / before).touch()
    with pytest.raises(error), locked(dataset, create=True):
        raise error("no such name")
    kept = error is DatasetError or before == ".filtercrawl/catalog.sqlite"
    assert (dataset / ".filtercrawl").exists() == kept
    assert dataset.exists() == (kept or before is not None)
    assert before is None or (dataset / before).is_file()
    with locked(dataset, create=True):
        assert (dataset / ".filtercrawl/lock").is_file()


@pytest.mark.parametrize("other", ["net.pth", "models/net.pth", "data/images/0.png"])
def test_a_folder_of_other_files_is_refused_before_anything_is_written(tmp_path: Path, other: str) -> None:
    path = tmp_path / "zoo" / other
    path.parent.mkdir(parents=True)
    path.touch()
    wanted = r"zoo: holds files, but no dataset of filtercrawl; .*--dataset"
    with pytest.raises(UsageError, match=wanted) as refused, locked(tmp_path / "zoo", create=True):
        raise AssertionError
    assert "\n" not in str(refused.value)
    assert [found for found in (tmp_path / "zoo").rglob("*") if found.is_file()] == [path]


@pytest.mark.parametrize("own", ["manifest.json", "data/models/part.parquet", ".filtercrawl/holder", ".gitattributes"])
def test_a_dataset_a_killed_first_run_and_an_empty_folder_are_continued(tmp_path: Path, own: str) -> None:
    (tmp_path / own).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / own).touch()
    with locked(tmp_path, create=True):
        pass
