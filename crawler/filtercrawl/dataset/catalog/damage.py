"""The error for a catalog that cannot be used: damaged, on a full disk, or in use."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.formatting import escape_control, format_size, shorten

# Characters of what SQLite says, which may quote a whole row.
_MAX_TEXT: Final = 200
# Primary result codes of SQLite that say nothing about the file: https://sqlite.org/rescode.html
_OTHER_CAUSES: Final = frozenset(
    {
        sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CANTOPEN,
    }
)  # fmt: skip


class DamagedRowError(ValueError):
    """A row of the catalog is not as it was written."""


# What reading a damaged catalog raises; sqlite3 itself stumbles over messages that are not UTF-8.
CATALOG_ERRORS: Final = (sqlite3.DatabaseError, DamagedRowError, UnicodeDecodeError)


def unusable(catalog: Path, error: Exception) -> DatasetError:
    """Return the error for a catalog that is damaged, or that cannot be used now.

    Args:
        catalog: The file.
        error: One of `CATALOG_ERRORS`.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):  # the second also of a disk that is full: of shared memory
        advice = f"{_room(catalog)}: make space, or see to the disk, and run again; what was committed is kept"
    elif code in _OTHER_CAUSES:
        advice = ""
    else:
        advice = f"; `filtercrawl sync SELECTOR --rebuild --dataset {catalog.parent.parent}` makes it again"
    return DatasetError(f"{catalog}: {shorten(escape_control(error), _MAX_TEXT)}{advice}")


def _room(catalog: Path) -> str:
    try:
        return f"; {format_size(shutil.disk_usage(catalog.parent).free)} are free there"
    except OSError:  # the folder is gone, or the disk is
        return ""


@contextmanager
def rows_as_written() -> Iterator[None]:
    """Raise DamagedRowError for what values that are not as they were written make of the code in the block."""
    try:
        yield
    except DamagedRowError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedRowError(f"what was noted of the tables cannot be read ({error!r})") from error


def load_json(text: str) -> Any:
    """Read JSON that the catalog holds; raises DamagedRowError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedRowError(f"{shorten(text, 40)!r} is no JSON ({error})") from error
