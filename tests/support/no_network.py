"""A transport for sources that must not use the network."""

from __future__ import annotations

from collections.abc import Iterator


class NoNetwork:
    """Fails on the first request."""

    def get_json(self, url: str) -> object:
        raise AssertionError(url)

    def pages(self, url: str) -> Iterator[object]:
        raise AssertionError(url)
