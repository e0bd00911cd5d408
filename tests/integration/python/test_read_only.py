"""What works on a dataset that may only be read, and what says in one line that it may not be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import filtercrawl
from conftest import Sync
from filtercrawl.api.errors import DatasetError
from filtercrawl_publish.repository.folder import FolderRepository
from support.zoo_files import put, state


@pytest.fixture
def shared(run_sync: Sync) -> Iterator[Path]:
    """A folder with a dataset, seen by somebody who is neither its owner nor root: root may write everywhere."""
    was = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder / "zoo/net.safetensors", state())
        run_sync(f"local:{folder / 'zoo'}", dataset=folder / "dataset")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        if was == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(was)
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o755)


def test_the_status_of_a_dataset_that_may_only_be_read(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert filtercrawl.status(shared / "dataset").sources == {"local": {"emitted": 1}}


def test_a_version_is_not_published_where_nothing_may_be_written(shared: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"cannot be written .no permission for .*publish to another folder"
    ) as raised:
        FolderRepository(shared / "published").check_writable()
    assert "\n" not in str(raised.value)
