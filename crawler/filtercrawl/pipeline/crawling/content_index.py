"""Thread-safe index of the file contents that a dataset holds or that a worker is reading."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.dataset.schema.model_row import ContentKey

FindOwner = Callable[[ContentKey, str | None], str | None]
# How often a waiting worker looks at its cancellation token.
_POLL_SECONDS: Final = 0.1


def _no_owner(key: ContentKey, other_than: str | None) -> str | None:  # noqa: ARG001 - nothing is known
    return None


class ContentIndex:
    """Find the checkpoint that holds a content, and let one worker at a time read a new one. Thread-safe.

    Two checkpoints with the same file hash, prefix and kernel policy have the same layers: one of them is read and the
    other is linked to it. What `claim` returns does not depend on timing: it is what it would be if the checkpoints
    were crawled one after the other in the order of their model ids, which is the order in which they are committed.
    So it waits for an earlier checkpoint of this run that is reading the same content or may be about to give it up.
    No checkpoint waits for a later one; so there is no deadlock.

    Args:
        owners: Returns the checkpoint that holds a content, other than a given one; None for none. What it returned
            when it was first asked counts, with what was added and removed since.
        tasks: Model ids of the checkpoints that this run may read; `release` says when one is finished.
    """

    def __init__(self, owners: FindOwner | None = None, tasks: Iterable[str] = ()) -> None:
        self._find_owner = owners or _no_owner
        self._owners: dict[ContentKey, str | None] = {}
        self._unfinished = set(tasks)
        self._claims: dict[ContentKey, set[str]] = {}
        self._closed = False
        self._changed = threading.Condition()

    def get(self, key: ContentKey) -> str | None:
        """Return the model id of the checkpoint that holds a content, None if no checkpoint does."""
        with self._changed:
            return self._owner(key)

    def claim(self, key: ContentKey, model_id: str, cancellation: CancellationToken | None = None) -> str | None:
        """Return the checkpoint that holds a content; if there is none, reserve the content for the caller to read.

        Args:
            key: The content.
            model_id: The checkpoint that the caller crawls.
            cancellation: Ends the wait for an earlier checkpoint.

        Returns:
            The model id of the checkpoint to link to, None if the caller has to read the content.

        Raises:
            Cancelled: The run ends while the caller waits.
        """
        with self._changed:
            while self._is_pending(key, model_id):
                if self._closed:
                    raise Cancelled
                if cancellation is not None:
                    cancellation.raise_if_cancelled()
                self._changed.wait(_POLL_SECONDS)
            owner = self._owner(key)
            if owner is None:
                self._claims.setdefault(key, set()).add(model_id)
            return owner

    def is_pending(self, key: ContentKey, model_id: str) -> bool:
        """Tell whether `claim` would wait for an earlier checkpoint."""
        with self._changed:
            return self._is_pending(key, model_id)

    def add(self, key: ContentKey, model_id: str) -> None:
        """Record that a checkpoint holds a content; the first one recorded stays."""
        with self._changed:
            if self._owner(key, model_id) is None:
                self._owners[key] = model_id

    def remove(self, key: ContentKey, model_id: str) -> None:
        """Record that a checkpoint no longer holds a content; another one that does counts from now on."""
        with self._changed:
            if self._owners.get(key, model_id) == model_id:
                self._owners[key] = self._find_owner(key, model_id)

    def forget(self, key: ContentKey) -> None:
        """Record that no checkpoint holds a content any more."""
        with self._changed:
            self._owners[key] = None

    def release(self, model_id: str) -> None:
        """Mark a checkpoint as finished, however it ended, and drop its claims."""
        with self._changed:
            self._unfinished.discard(model_id)
            for key, claimants in list(self._claims.items()):
                claimants.discard(model_id)
                if not claimants:
                    del self._claims[key]
            self._changed.notify_all()

    def close(self) -> None:
        """End all waits; for a run that ends before all checkpoints are finished."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _owner(self, key: ContentKey, other_than: str | None = None) -> str | None:
        """Return who holds a content; `other_than` counts only if it was known before."""
        if key not in self._owners:
            self._owners[key] = self._find_owner(key, other_than)
        return self._owners[key]

    def _is_pending(self, key: ContentKey, model_id: str) -> bool:
        """Tell whether an earlier unfinished checkpoint reads a content or may give it up."""
        candidates = set(self._claims.get(key, ()))
        if (owner := self._owner(key)) is not None:
            candidates.add(owner)
        return any(other < model_id and other in self._unfinished for other in candidates)
