"""Few files at a time are fetched in bulk, first come, first served, and nobody waits for one that gave up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import Cancelled
from filtercrawl.transport.client import HttpTransport
from filtercrawl.transport.prefetcher import MAX_CONCURRENT_FILES, BulkQueue
from support.http_server import Answer, Asked, FileServer, ranged

BIG = 9 * 1024 * 1024


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


def test_queue_are_handed_on_in_the_order_of_asking() -> None:
    queue, begun = BulkQueue(2), []
    for number in range(5):
        queue.submit(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert begun == [0, 1]
    for _ in range(3):
        queue.release()
    assert begun == [0, 1, 2, 3, 4]
    queue.release()
    queue.release()
    queue.submit(lambda: begun.append(5))
    assert begun[-1] == 5


def test_four_files_are_fetched_in_bulk_and_a_small_one_beside_them(server: FileServer) -> None:
    go = threading.Event()
    here: list[str] = []
    all_asked = threading.Semaphore(0)

    def slow(asked: Asked) -> Answer:
        here.append(asked.path)
        all_asked.release()
        assert go.wait(20)
        return ranged(asked, bytes(BIG), {"ETag": '"1"'})

    with closing(HttpTransport()) as transport:
        files = [
            transport.open(RemoteFile(url=server.on(f"/big{number}", slow), size=BIG, path=f"big{number}"))
            for number in range(MAX_CONCURRENT_FILES + 3)
        ]
        for file in files:
            file.prefetch([(0, BIG)])
        small = transport.open(RemoteFile(url=server.put("/small", b"small"), size=5, path="small"))
        small.prefetch([(0, 5)])
        assert small.read(0, 5) == b"small"
        closer = threading.Thread(target=files[MAX_CONCURRENT_FILES].close)  # gives up while it is queued
        closer.start()
        closer.join(20)
        assert not closer.is_alive()
        for _ in range(MAX_CONCURRENT_FILES):
            assert all_asked.acquire(timeout=20)
        assert sorted(here) == [f"/big{number}" for number in range(MAX_CONCURRENT_FILES)]
        go.set()
        for number, file in enumerate(files):
            if number != MAX_CONCURRENT_FILES:
                assert file.read(0, BIG) == bytes(BIG)
                file.close()
        assert f"/big{MAX_CONCURRENT_FILES}" not in here
        assert len(here) == len(files) - 1


@pytest.mark.timeout(20)
def test_a_file_that_was_closed_brings_nothing_and_keeps_nobody_waiting(server: FileServer) -> None:
    with closing(HttpTransport()) as transport:
        file = transport.open(RemoteFile(url=server.put("/f", bytes(BIG)), size=BIG, path="f"))
        assert file.read(0, 8) == bytes(8)
        file.hint_seeks(1000, 1.0)  # so many that at the first one all of it would be fetched
        file.close()
        for offset in (BIG // 2, BIG - 100):
            with pytest.raises(Cancelled):
                file.read(offset, 8)
