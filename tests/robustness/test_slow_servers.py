"""Servers that send a byte now and then: ended by the minimum rate, by cancellation and by signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import Cancelled, NetworkError
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import RetryPolicy

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
# Where the slow part begins: within the headers, or within the body.
BEGINNINGS = {"headers": b"HTTP/1.1 200 OK\r\nX: ", "body": HEAD + b'"'}


@contextmanager
def dripping(beginning: bytes, seconds: float = 0.03, asked: threading.Event | None = None) -> Iterator[str]:
    """Serve the beginning of a response at once and the rest a byte at a time, until the context ends."""
    ended = threading.Event()
    asked = asked or threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(beginning)
            asked.set()
            while not ended.wait(seconds):
                connection.sendall(b"0")

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=list(BEGINNINGS))
def test_a_response_that_drips_is_given_up(beginning: bytes) -> None:
    options = TransportOptions(rate_window=0.15, retry=RetryPolicy(attempts=2, base_delay=0.01))
    started = time.monotonic()
    with dripping(beginning) as url:
        transport = network(options=options)
        with pytest.raises(NetworkError, match="the response comes too slowly, 2 times in a row"):
            transport.get_json(url + "/a")
        with pytest.raises(NetworkError, match="the response comes too slowly"):
            transport.open(RemoteFile(url=url + "/net.pt", size=1_000_000)).read(0, 1000)
        transport.close()
    assert time.monotonic() - started < 8


def test_a_slow_link_is_not_given_up() -> None:
    """Slow, but above the minimum rate, over many windows."""
    body = b"[" + b" " * 300 + b"]"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                for start in range(0, len(body), 10):
                    time.sleep(0.02)
                    connection.sendall(body[start : start + 10])

        threading.Thread(target=serve, daemon=True).start()
        options = TransportOptions(rate_window=0.1, min_rate=50, retry=RetryPolicy(attempts=1))
        transport = network(options=options)
        assert transport.get_json(f"http://127.0.0.1:{listener.getsockname()[1]}/a") == []
        transport.close()


@pytest.mark.parametrize("beginning", [*BEGINNINGS.values(), b""], ids=[*BEGINNINGS, "silence"])
def test_a_blocked_read_ends_when_the_run_does(beginning: bytes) -> None:
    cancellation = CancellationToken()
    with dripping(beginning, seconds=0.03 if beginning else 60) as url:
        transport = network(cancellation=cancellation)
        threading.Timer(0.3, cancellation.cancel).start()
        started = time.monotonic()
        with pytest.raises(Cancelled):
            transport.get_json(url + "/a")
        transport.close()
    assert time.monotonic() - started < 3


def test_a_listing_that_drips_ends_by_a_signal(tmp_path: Path) -> None:
    asked = threading.Event()
    with dripping(BEGINNINGS["body"], asked=asked) as url:
        environment = {**os.environ, "HF_ENDPOINT": url, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "filtercrawl", "sync", "hub:org/*", "--dataset", str(tmp_path / "dataset")]
        run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        try:
            assert asked.wait(60)
            time.sleep(0.2)
            assert run.poll() is None
            started = time.monotonic()
            run.send_signal(signal.SIGTERM)
            _, errors = run.communicate(timeout=30)
            assert time.monotonic() - started < 5
        finally:
            run.kill()
            run.wait()
    assert run.returncode == 128 + signal.SIGTERM
    assert b"stopped; the next run continues from here" in errors
