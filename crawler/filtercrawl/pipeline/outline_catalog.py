"""The catalog of an outline: it may not change what is published, as it knows no layer."""

from __future__ import annotations

from typing import NoReturn

from filtercrawl.dataset.catalog import Catalog


class NewsFound(Exception):  # noqa: N818 - no error: the run goes on with the whole dataset
    """The tables of the dataset are about to change."""


class OutlineCatalog(Catalog):
    """A catalog with the rows of checkpoints and listings, and no others.

    It keeps what a run notes that changes no table, such as when a checkpoint was last offered. Whatever changes one
    is done in a transaction, and raises NewsFound.
    """

    def is_sound(self) -> bool:
        """Tell whether SQLite finds nothing wrong with the file; raises sqlite3.DatabaseError where it cannot look."""
        return bool(self._db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))

    def transaction(self) -> NoReturn:
        """Raise NewsFound."""
        raise NewsFound
