"""Serve the fake zoo of a plugin for a demonstration."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable

from filtercrawl.testing.fake_zoo import FakeZoo
from filtercrawl.testing.file_server import FileServer
from filtercrawl.testing.sample_weights import sample_weights


def demo(
    conformance: Callable[[FileServer], FakeZoo], source: str, port: int = 0, stop: threading.Event | None = None
) -> None:
    """Serve a zoo of three small networks on this machine, until it is interrupted or `stop` is set.

    Writes a `filtercrawl.toml` to stdout with which the source of that name finds the zoo.

    Args:
        conformance: Returns the zoo for a server.
        source: Name of the source.
        port: Port of the server, 0 for any free one.
        stop: Ends the server when set.
    """
    stop = stop or threading.Event()
    with FileServer(port) as server:
        zoo = conformance(server)
        for number in range(3):
            zoo.add(f"net-{number}", sample_weights(number))
        lines = [f"# an invented zoo of 3 networks is at {server.url}", f"[sources.{source}]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in zoo.settings.items()]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        sys.stderr.write(f"serving an invented zoo at {server.url}; Ctrl+C ends it\n")
        try:
            stop.wait()
        except KeyboardInterrupt:
            sys.stderr.write("\n")
