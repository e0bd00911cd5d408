"""The actor through which the driver answers workers, and which counts the requests of all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from filtercrawl.pipeline.engines.workers.budget import Budget
from filtercrawl.pipeline.engines.workers.messages import Answer

# Seconds that a worker waits for an answer before it asks again: the actor may have been lost with it.
WAIT_SECONDS = 5.0


class Coordinator:
    """Holds the driver's answers until workers fetch them, and the budgets of the run.

    It runs on the node of the driver. If its process is killed, Ray starts another one with the budgets of the
    beginning, and workers ask again.

    Args:
        max_requests: Requests that may still be sent; None for no limit.
        max_bytes: Bytes that may still be received; None for no limit.
    """

    def __init__(self, max_requests: int | None, max_bytes: int | None) -> None:
        self._budget = Budget(max_requests, max_bytes)
        self._answers: defaultdict[tuple[str, int], asyncio.Queue[Answer]] = defaultdict(asyncio.Queue)

    async def reply(self, attempt: str, number: int, answer: Answer) -> None:
        """Answer a question of an attempt."""
        await self._answers[attempt, number].put(answer)

    async def answer(self, attempt: str, number: int) -> Answer | None:
        """Wait for the answer to a question; None if it takes too long."""
        try:
            return await asyncio.wait_for(self._answers[attempt, number].get(), WAIT_SECONDS)
        except TimeoutError:
            return None

    async def admit(self, n_bytes: int) -> bool:
        """Tell whether one more request may be sent.

        Args:
            n_bytes: Bytes that the process has received since it asked last.
        """
        return self._budget.admit(n_bytes)
