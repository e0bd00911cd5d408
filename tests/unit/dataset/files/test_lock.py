"""The lock of a dataset folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.files.lock import locked


@pytest.mark.parametrize("error", [UsageError, DatasetError])
@pytest.mark.parametrize("before", [None, "notes.txt", ".filtercrawl/catalog.sqlite"])
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
