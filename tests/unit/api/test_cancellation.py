"""Cancellation tokens."""

from __future__ import annotations

import threading
import time

import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled


def test_a_new_token_lets_work_go_on() -> None:
    token = CancellationToken()
    token.raise_if_cancelled()
    token.sleep(0)
    assert not token.cancelled


def test_a_cancelled_token_raises() -> None:
    token = CancellationToken()
    token.cancel()
    assert token.cancelled
    with pytest.raises(Cancelled):
        token.raise_if_cancelled()
    with pytest.raises(Cancelled):
        token.sleep(0)


def test_a_sleeper_wakes_when_the_token_is_cancelled() -> None:
    token = CancellationToken()
    threading.Timer(0.05, token.cancel).start()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        token.sleep(60)
    assert time.monotonic() - begun < 30


def test_a_child_is_cancelled_with_its_parent() -> None:
    parent = CancellationToken()
    before, alone = parent.child(), parent.child()
    alone.cancel()
    assert (parent.cancelled, before.cancelled) == (False, False)
    parent.cancel()
    assert before.cancelled
    assert parent.child().cancelled


def test_sleep_can_be_replaced() -> None:
    slept: list[float] = []
    token = CancellationToken(sleep=slept.append)
    token.sleep(3600)
    token.child().sleep(60)
    assert slept == [3600, 60]
