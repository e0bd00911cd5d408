"""The one door to the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class Transport(Protocol):
    """What a source may ask of the network; retries, budgets and credentials are its business."""

    def get_json(self, url: str) -> Any: ...

    def pages(self, url: str) -> Iterator[Any]: ...
