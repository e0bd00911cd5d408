"""All or nothing of several writes to the catalog."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def all_or_nothing(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what is written inside; by itself no reason to write the tables."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # SQLite has rolled back itself where the disk is full
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
