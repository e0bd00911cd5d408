"""Measures how true the bandwidth of the benchmark's server is, and how fast it is without a bound."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from range_server import RangeServer

_BANDWIDTH = 50e6
_SECONDS = 3.0
_BUFFER = 256 * 1024


def measure(folder: Path, connections: Sequence[int] = (1, 8, 16)) -> Iterator[tuple[int, float, float, float]]:
    """Yield connections, and the MB/s of large ranges, of ranges of 100 kB, and of large ones without a bound."""
    size = int(_BANDWIDTH * _SECONDS)
    (folder / "cap.bin").write_bytes(bytes(size))
    with RangeServer(folder) as server:
        for number in connections:
            rates = []
            for step, bandwidth in ((size // number, _BANDWIDTH), (100_000, _BANDWIDTH), (size // number, None)):
                server.shape(bandwidth=bandwidth)
                ranges = [(start, min(start + step, size)) for start in range(0, size, step)]
                begun = time.perf_counter()
                fetch([(f"{server.url}/cap.bin", span) for span in ranges], number)
                rates.append(size / (time.perf_counter() - begun) / 1e6)
            yield number, rates[0], rates[1], rates[2]


def fetch(wanted: Sequence[tuple[str, tuple[int, int] | None]], connections: int) -> None:
    """GET ranges, or whole files, over so many connections that are kept alive; what comes is thrown away."""
    waiting = iter(wanted)  # a list's iterator hands each item out once, whoever asks

    def work() -> None:
        buffer = bytearray(_BUFFER)
        connection = http.client.HTTPConnection(urlsplit(wanted[0][0]).netloc)
        for url, span in waiting:
            parts = urlsplit(url)
            headers = {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}
            connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
            answer = connection.getresponse()
            assert answer.status == (200 if span is None else 206), answer.status
            while answer.readinto(buffer):
                pass
        connection.close()

    with ThreadPoolExecutor(connections) as pool:
        for job in [pool.submit(work) for _ in range(connections)]:
            job.result()
