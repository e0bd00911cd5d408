"""The lease of a dataset in an object store: one writer at a time, for as long as it renews it.

A lease is an object whose name is a number, created only where there is none; the highest number is in force, and only
its holder writes to it. It saves work and no more: that nothing is lost where a holder was asleep for longer than its
lease is up to the commits.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from filtercrawl.api.errors import ConflictError, FiltercrawlError
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.object_store.numbered import NumberedObjects
from filtercrawl.dataset.object_store.objects import ObjectStore

__all__ = ["Lease"]

logger = logging.getLogger(__name__)

_FOLDER: Final = f"{HIDDEN}/leases"
# How often a lease is renewed while it lasts.
_RENEWALS: Final = 5


class Lease:
    """The right to write to a dataset.

    Attributes:
        clean: Whether the writer before ended after its last commit; else the store may hold what no commit names.
    """

    def __init__(self, store: ObjectStore, owner: str, on_lost: Callable[[], None], seconds: float) -> None:
        """Take the lease, and renew it in the background.

        Args:
            store: The store.
            owner: Identifies the working folder. Its lock is held, so that an earlier process with it has ended.
            on_lost: Called in another thread when somebody else has taken the lease.
            seconds: How long a lease lasts that is not renewed.

        Raises:
            ConflictError: Another writer holds the lease.
            PolicyError: The store does not have conditional writes.
        """
        self._store, self._owner, self._on_lost, self._seconds = store, owner, on_lost, seconds
        self._leases = NumberedObjects(store, _FOLDER)
        number, before = self._before()
        is_held = before and not before.get("ended") and before.get("owner") != owner
        if is_held and before["expires"] > time.time():
            until = datetime.fromtimestamp(before["expires"], UTC).strftime("%H:%M:%S")
            who = f"{before.get('holder')} is at work"
            raise self._conflict(f"{who}; if it has died, run this again after {until} UTC")
        self.clean = not before or bool(before.get("clean"))
        self._number = number + 1
        self._path = self._leases.path(self._number)
        if not store.create(self._path, self._content()):
            raise self._conflict("another run has just begun to work on this dataset; try again when it is done")
        if store.create(self._path, self._content()):
            store.delete([self._path])
            raise store.no_conditional_writes()
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._leases.delete_before(self._number)
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether it is known that somebody else has taken the lease."""
        return self._lost.is_set()

    def check(self) -> None:
        """Check that nobody else has taken the lease.

        Raises:
            ConflictError: Somebody has.
        """
        if not self._is_last():
            self._lost.set()
        if self.lost:
            raise self.overtaken()

    def overtaken(self) -> ConflictError:
        """Return the error for a writer that somebody else has overtaken."""
        return self._conflict(
            "another run took over this dataset, since this one did not renew its lease in time; run it again, which "
            "begins with what that run has saved"
        )

    def end(self, *, clean: bool) -> None:
        """Give the lease back.

        Args:
            clean: Whether the store holds nothing but what the last commit names.
        """
        self._ended.set()
        self._thread.join()
        if not self.lost:
            try:
                self._store.write(self._path, self._content(ended=True, clean=clean))
            except FiltercrawlError as error:  # it expires by itself
                logger.warning("the lease of %s was not given back: %s", self._store.url, error)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / _RENEWALS):
            try:
                lost = not self._is_last()
                if not lost:
                    self._store.write(self._path, self._content())
            except FiltercrawlError as error:  # the next attempt may succeed, and commits are safe anyway
                logger.warning("the lease of %s was not renewed: %s", self._store.url, error)
                continue
            if lost:
                self._lost.set()
                self._on_lost()
                return

    def _content(self, *, ended: bool = False, clean: bool = False) -> bytes:
        content = {
            "owner": self._owner,
            "holder": f"process {os.getpid()} on {socket.gethostname()}",
            "expires": time.time() + self._seconds,
            "ended": ended,
            "clean": clean,
        }
        return json.dumps(content).encode()

    def _before(self) -> tuple[int, Mapping[str, Any]]:
        """Return number and content of the lease that is in force; 0 and nothing where there never was one."""
        number, content = self._leases.read_last()
        if not number:
            return 0, {}
        try:
            stated: dict[str, Any] = json.loads(content)
            datetime.fromtimestamp(stated["expires"], UTC)
        except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
            return number, {"ended": True, "clean": False}  # it is no lease
        return number, stated

    def _is_last(self) -> bool:
        return self._leases.last() <= self._number

    def _conflict(self, what: str) -> ConflictError:
        return ConflictError(f"{self._store.url}: {what}")
