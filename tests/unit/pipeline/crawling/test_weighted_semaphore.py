"""Units that are held by several threads."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8))
@settings(max_examples=20, deadline=None)
def test_no_more_than_the_capacity_is_held(sizes: list[int]) -> None:
    semaphore, lock, held, most = WeightedSemaphore(10), threading.Lock(), [0], [0]

    def work(size: int) -> None:
        with semaphore.acquire(size):
            with lock:
                held[0] += min(size, 10)
                most[0] = max(most[0], held[0])
            time.sleep(0.001)
            with lock:
                held[0] -= min(size, 10)

    threads = [threading.Thread(target=work, args=(size,)) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert most[0] <= 10


def test_a_waiting_thread_can_be_cancelled() -> None:
    semaphore, token = WeightedSemaphore(1), CancellationToken()
    token.cancel()
    with semaphore.acquire(1), pytest.raises(Cancelled), semaphore.acquire(1, token):
        pass
