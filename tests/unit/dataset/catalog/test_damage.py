"""What is said of a catalog that cannot be used."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.damage import unusable


def error_of(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (sqlite3.SQLITE_FULL, "database or disk is full"),
        (sqlite3.SQLITE_IOERR, "disk I/O error"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, "disk I/O error"),
    ],
)
def test_of_a_disk_it_says_how_much_is_free_and_what_to_do(code: int, text: str, tmp_path: Path) -> None:
    said = str(unusable(tmp_path / "catalog.sqlite", error_of(code, text)))
    pattern = (
        r"; \d\S* [kMGT]?B are free there: make space, or see to the disk, and run again; what was committed is kept"
    )
    assert re.fullmatch(re.escape(f"{tmp_path}/catalog.sqlite: {text}") + pattern, said)


def test_of_a_folder_that_is_gone_it_says_what_to_do_without_a_size(tmp_path: Path) -> None:
    said = str(unusable(tmp_path / "gone/catalog.sqlite", error_of(sqlite3.SQLITE_IOERR, "disk I/O error")))
    assert said.endswith("disk I/O error: make space, or see to the disk, and run again; what was committed is kept")


def test_a_catalog_that_cannot_be_made_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"file/set/\.filtercrawl: cannot be made"):
        Catalog(tmp_path / "file/set")
    (tmp_path / "set/.filtercrawl/catalog.sqlite").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"catalog\.sqlite: unable to open database file"):
        Catalog(tmp_path / "set")
