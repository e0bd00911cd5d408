"""What the catalog keeps of runs: a row each, written while a run goes on, so that a killed one is accounted for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from filtercrawl.dataset.catalog.all_or_nothing import all_or_nothing
from filtercrawl.dataset.catalog.damage import load_json, rows_as_written
from filtercrawl.dataset.schema.run_row import RunRow

# Runs that are all kept; of those before them one a week is.
MAX_RUNS: Final = 400


class Runs:
    """Keeps the rows of `runs`; part of the catalog.

    Nothing here is a reason to write the tables: a run that finds nothing new leaves the published files as they are,
    and its row is published with the next change.
    """

    _db: sqlite3.Connection

    def begin_run(self, started: datetime, version: str) -> RunRow:
        """Add the row of a run that begins; the dataset is locked, so what has not ended was killed.

        Args:
            started: When it began.
            version: The version of filtercrawl.
        """
        with all_or_nothing(self._db):
            for row in self._rows("WHERE json_extract(record, '$.outcome') IS NULL"):
                self._write(replace(row, outcome="killed"))
            (last,) = self._db.execute("SELECT coalesce(max(run), 0) FROM runs").fetchone()
            row = RunRow(run=last + 1, started=started, filtercrawl_version=version)
            self._write(row)
            self._thin(row.run - MAX_RUNS)
        return row

    def put_run(self, row: RunRow) -> None:
        """Replace the row of a run, or add one."""
        with all_or_nothing(self._db):
            self._write(row)

    def put_runs(self, rows: Iterator[RunRow]) -> None:
        """Add rows within a transaction."""
        for row in rows:
            self._write(row)

    def runs(self) -> Iterator[RunRow]:
        """Yield the rows of `runs`, the first run first."""
        return self._rows("")

    def last_runs(self, count: int) -> list[RunRow]:
        """Return the last runs, the earliest of them first."""
        return list(self._rows("WHERE run > (SELECT coalesce(max(run), 0) FROM runs) - ?", count))

    def _thin(self, last: int) -> None:
        """Of the runs up to one, keep the first of each calendar week."""
        seen = set()
        for row in self._rows("WHERE run <= ?", last):
            week = row.started.isocalendar()[:2]
            if week in seen:
                self._db.execute("DELETE FROM runs WHERE run = ?", (row.run,))
            seen.add(week)

    def _write(self, row: RunRow) -> None:
        record = json.dumps(row.to_arrow() | {"started": row.started.isoformat()})
        self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (row.run, record))

    def _rows(self, where: str, *values: int) -> Iterator[RunRow]:
        sql = f"SELECT record FROM runs {where} ORDER BY run"  # noqa: S608 - constants
        found = self._db.execute(sql, values).fetchall()
        for (record,) in found:
            with rows_as_written():
                stored: dict[str, Any] = load_json(record)
                yield RunRow.from_arrow(stored | {"started": datetime.fromisoformat(stored["started"])})
