"""Facts about the dataset as a whole."""

from __future__ import annotations

import sqlite3


class Facts:
    """Texts by key; part of the catalog."""

    _db: sqlite3.Connection

    def get_meta(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, value))
