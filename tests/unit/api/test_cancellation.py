"""Cancellation tokens."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

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


@pytest.mark.parametrize("action", ["child", "cancel"])
def test_a_signal_handler_may_cancel_at_any_point(action: str) -> None:
    """Call `cancel` before each line that runs, as a handler in the same thread does."""
    token = CancellationToken()
    files = {CancellationToken.cancel.__code__.co_filename}
    nested = False

    def interrupt(frame: FrameType, event: str, _: object) -> Callable[..., object] | None:
        nonlocal nested
        if frame.f_code.co_filename not in files:
            return None
        if event == "line" and not nested:
            nested = True
            token.cancel()
            nested = False
        return interrupt

    results: list[CancellationToken | None] = []

    def work() -> None:
        sys.settrace(interrupt)
        try:
            results.append(getattr(token, action)())
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert token.cancelled
    assert results[0] is None or results[0].cancelled


def test_sleep_can_be_replaced() -> None:
    slept: list[float] = []
    token = CancellationToken(sleep=slept.append)
    token.sleep(3600)
    token.child().sleep(60)
    assert slept == [3600, 60]
