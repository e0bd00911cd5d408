"""Serve a plugin's fake zoo to whoever wants to see a sync of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

from filtercrawl.testing.server import FileServer
from filtercrawl.testing.weights import weights
from filtercrawl.testing.zoo import FakeZoo

PORT: Final = 8765


def demo(conformance: Callable[[FileServer], FakeZoo], port: int = PORT, stop: threading.Event | None = None) -> None:
    """Serve a zoo of three small networks on this machine, until it is interrupted or `stop` is set."""
    stop = stop or threading.Event()
    with FileServer(port) as server:
        zoo = conformance(server)
        for number in range(3):
            zoo.add(f"net-{number}", weights(number))
        sys.stdout.write(f"an invented zoo of 3 networks is at {server.url}; Ctrl+C ends it\n")
        sys.stdout.flush()
        try:
            stop.wait()
        except KeyboardInterrupt:
            sys.stdout.write("\n")
