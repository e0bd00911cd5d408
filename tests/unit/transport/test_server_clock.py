"""The clock of a server, by its responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest

from filtercrawl.transport.server_clock import ServerClock


def respond(url: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(200, headers=headers, request=httpx2.Request("GET", url))


def test_how_far_this_machine_is_ahead() -> None:
    clock = ServerClock("https://hub.example/prefix")
    for behind in (-2, 3):
        date = format_datetime(datetime.now(UTC) - timedelta(days=behind), usegmt=True)
        clock(respond("https://hub.example/api", Date=date))
        assert clock.error is not None
        assert abs(clock.error - timedelta(days=behind)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "response",
    [
        respond("https://hub.example/api"),
        respond("https://hub.example/api", Date="soon"),
        respond("https://files.example/a", Date="Mon, 23 Nov 2026 12:00:00 GMT"),
        respond("https://hub.example/api", Date="Mon, 23 Nov 2026 12:00:00 GMT", Age="86400"),
    ],
)
def test_what_says_nothing(response: httpx2.Response) -> None:
    clock = ServerClock("https://hub.example")
    clock(response)
    assert clock.error is None
