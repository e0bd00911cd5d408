"""A worker's questions to the driver: which checkpoint holds a content."""

from __future__ import annotations

import itertools
import queue
from typing import Any, Final

import ray

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.engines.ray_cluster.messages import Message
from filtercrawl.pipeline.engines.workers.messages import Question
from filtercrawl.pipeline.engines.workers.task_crawler import ContentDeferred

# How often a waiting worker looks at its cancellation token.
_POLL_SECONDS: Final = 0.2


class DriverClaims:
    """Asks the driver who holds a content; implements `filtercrawl.pipeline.crawling.crawl.ContentClaims`.

    Args:
        attempt: The attempt that asks.
        outbox: What the worker sends to the driver.
        coordinator: Handle of the actor with the answers.
    """

    def __init__(self, attempt: str, outbox: queue.SimpleQueue[Message], coordinator: Any) -> None:
        self._attempt = attempt
        self._outbox = outbox
        self._coordinator = coordinator
        self._numbers = itertools.count()

    def claim(self, key: ContentKey, model_id: str, cancellation: CancellationToken | None = None) -> str | None:
        """Return the checkpoint that holds a content; if there is none, reserve the content for the caller to read.

        Raises:
            ContentDeferred: An earlier checkpoint is not finished with the content.
            Cancelled: The run ends while the caller waits.
        """
        number = next(self._numbers)
        while True:
            self._outbox.put(Question(number=number, key=key))
            waiting = self._coordinator.answer.remote(self._attempt, number)
            while not ray.wait([waiting], timeout=_POLL_SECONDS)[0]:
                if cancellation is not None:
                    cancellation.raise_if_cancelled()
            answer = ray.get(waiting)
            if answer is None:
                continue
            if answer.defer:
                raise ContentDeferred(model_id)
            owner: str | None = answer.owner
            return owner
