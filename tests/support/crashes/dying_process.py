"""A process that dies by SIGKILL at its n-th write to disk or to a database, or whose disk is full by then."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any


class DyingProcess:
    """Counts events: a file opened for writing, renamed, removed or synced, a statement of SQL; dies at the n-th.

    Before each event it fills its disk, once somebody has asked for that.
    """

    def __init__(self, moment: int | None, wants_full: Callable[[], bool], fill: Callable[[], None]) -> None:
        self.moment = moment
        self.seen = 0
        self._wants_full = wants_full
        self._fill = fill
        self._is_full = False

    def tick(self) -> None:
        self.seen += 1
        if not self._is_full and self._wants_full():
            self._is_full = True
            self._fill()
        if self.seen == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        sys.addaudithook(self._heard)
        connect = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            database: sqlite3.Connection = connect(*arguments, **options)
            database.set_trace_callback(lambda _: self.tick())
            return database

        def fsync(descriptor: int) -> None:
            """Do not wait for the disk: what the system has been given survives the process."""
            self.tick()

        os.fsync, sqlite3.connect = fsync, traced

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in (
            "os.rename",
            "os.remove",
            "os.mkdir",
            "os.rmdir",
            "os.link",
            "os.symlink",
            "os.truncate",
        ):
            self.tick()
