"""The cache of downloaded ranges: kept between runs, limited in size, verified before use."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filtercrawl.api import RemoteFile
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import ChangedError, NetworkError
from filtercrawl.api.transport import Transport
from filtercrawl.config import NetworkSettings
from filtercrawl.transport import cache_entry
from filtercrawl.transport.cache_entry import CacheEntry
from filtercrawl.transport.client import HttpTransport
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.range_cache import RangeCache
from filtercrawl.transport.retry import RetryPolicy
from support.http_server import Fault, FileServer

MIB = 1024 * 1024
DATA = random.Random(3).randbytes(3 * MIB)
QUICK = CancellationToken(sleep=lambda seconds: None)
HEX = "ab" * 32
Opening = Callable[..., Transport]


@pytest.fixture
def opening() -> Iterator[Opening]:
    """Make transports, as one run after another does."""
    made = []

    def call(settings: NetworkSettings, options: TransportOptions | None = None) -> Transport:
        made.append(HttpTransport(settings, cancellation=QUICK, options=options))
        return made[-1]

    yield call
    for transport in made:
        transport.close()


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 800)), max_size=12), st.integers(0, 5000))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_give_back_what_they_were_given(
    tmp_path_factory: pytest.TempPathFactory, added: list[tuple[int, int]], at: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces") / "one"
    known: set[int] = set()
    pieces = CacheEntry(folder)
    for start, length in added:
        pieces.add(start, DATA[start : start + length])
        known |= set(range(start, start + length))
    pieces.close()
    for again in (pieces, CacheEntry(folder)):
        covered = {byte for start, stop in again.ranges for byte in range(start, stop)}
        assert covered == known
        data = again.read(at, at + 100)
        assert data == (DATA[at : at + 100] if known >= set(range(at, at + 100)) else None)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("first", [(0, 1000), (0, 3000), (500, 1500), (900, 2000)])
def test_the_same_bytes_may_come_twice_at_the_same_time(tmp_path: Path, first: tuple[int, int]) -> None:
    """A server that ignores ranges sends the whole file while another request brings its end."""
    data = random.Random(0).randbytes(3000)
    begun, go = threading.Event(), threading.Event()

    class Held(CacheEntry):
        def _write_file(self, name: str, part: bytes) -> Path:
            if threading.current_thread() is other:
                begun.set()
                assert go.wait(10)
            return super()._write_file(name, part)

    pieces = Held(tmp_path / "one")
    other = threading.Thread(target=lambda: pieces.add(first[0], data[slice(*first)]))
    other.start()
    assert begun.wait(10)
    pieces.add(0, data[:2000])  # between another's look at what is missing and its piece
    go.set()
    other.join()
    pieces.add(0, data)
    for _ in range(3):  # from memory, and from the files
        assert pieces.read(0, 3000) == data
        assert pieces.read(1000, 1010) == data[1000:1010]
        pieces = Held(tmp_path / "one")


def test_a_piece_that_is_not_what_was_written_is_fetched_again(tmp_path: Path) -> None:
    pieces = CacheEntry(tmp_path / "one")
    pieces.add(0, DATA[:1000])
    pieces.add(1000, DATA[1000:2000])
    pieces.close()
    first = next((tmp_path / "one").glob("0-1000-*"))
    first.write_bytes(bytes(1000))  # the machine stopped before the bytes reached the disk
    again = CacheEntry(tmp_path / "one")
    assert again.read(1000, 2000) == DATA[1000:2000]
    assert again.read(0, 1000) is None
    assert again.missing(0, 2000) == ((0, 1000),)
    again.add(0, DATA[:1000])
    assert again.read(0, 2000) == DATA[:2000]


@pytest.mark.parametrize("known", ["sha256", "etag"])
def test_what_was_interrupted_goes_on_where_it_stopped(opening: Opening, tmp_path: Path, known: str) -> None:
    with FileServer() as server:
        url = server.put("/net", DATA)
        told = RemoteFile(url=url + "?token=1", size=len(DATA), sha256=HEX if known == "sha256" else None)
        kept = NetworkSettings(cache=tmp_path / "cache")
        first = opening(kept).open(told)
        assert first.read(0, 1000) == DATA[:1000]
        first.prefetch([(MIB, 2 * MIB)])
        assert first.read(MIB, MIB) == DATA[MIB : 2 * MIB]
        first.close()
        server.log.clear()
        again = RemoteFile(url=url + "?token=2", size=len(DATA), sha256=told.sha256)  # signed anew
        second = opening(kept).open(again)
        assert second.read(0, 1000) == DATA[:1000]
        assert second.read(MIB, MIB) == DATA[MIB : 2 * MIB]
        # Without a hash one answer must say that the file is still the same.
        assert len(server.log) == (0 if known == "sha256" else 1)
        assert second.read(2 * MIB, MIB) == DATA[2 * MIB :]


def test_bytes_of_another_version_are_not_used(opening: Opening, tmp_path: Path) -> None:
    with FileServer() as server:
        kept = NetworkSettings(cache=tmp_path / "cache")
        url = server.put("/net", DATA)
        file = opening(kept).open(RemoteFile(url=url))
        assert file.read(MIB, 100) == DATA[MIB : MIB + 100]
        file.close()
        server.put("/net", DATA[::-1])
        other = opening(kept).open(RemoteFile(url=url))
        assert other.size == len(DATA)
        assert other.read(MIB, 100) == DATA[::-1][MIB : MIB + 100]


def test_a_stated_hash_does_not_hide_a_change(opening: Opening, tmp_path: Path) -> None:
    """What another run left under a sha256 is of the version that it saw; a new answer is held against that."""
    with FileServer() as server:
        kept = NetworkSettings(cache=tmp_path / "cache")
        told = RemoteFile(url=server.put("/net", DATA), size=len(DATA), sha256=HEX)
        file = opening(kept).open(told)
        file.read(0, 10)
        file.close()
        server.put("/net", DATA[::-1])
        other = opening(kept).open(told)
        with pytest.raises(ChangedError):
            other.read(2 * MIB, 10)
        other.close()
        third = opening(kept).open(told)  # nothing of the old version is left
        assert third.read(0, 10) == DATA[::-1][:10]


def test_nothing_of_a_discarded_version_comes_back(tmp_path: Path) -> None:
    """Other requests may still bring its bytes when one of them has noticed the change."""
    cache = RangeCache(tmp_path)
    pieces = cache.entry("http://host/net", {"sha256": HEX})
    pieces.add(0, DATA[:100])
    pieces.discard()
    pieces.add(100, DATA[100:200])
    assert pieces.ranges == ()
    assert cache.entry("http://host/net", {"sha256": HEX}).ranges == ()


def test_bytes_may_come_while_their_version_is_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests run in threads: the folder may go between its check and the writing of a file."""
    entry, checked = RangeCache(tmp_path).private(), cache_entry.make_private

    def discarding(folder: Path) -> None:
        checked(folder)
        entry.discard()

    monkeypatch.setattr(cache_entry, "make_private", discarding)
    entry.add(0, b"late")
    assert entry.ranges == ()
    assert entry.read(0, 4) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_version_is_forgotten(opening: Opening, tmp_path: Path) -> None:
    with FileServer() as server:
        url = server.put("/net", DATA, etag="")
        file = opening(NetworkSettings(cache=tmp_path / "cache")).open(RemoteFile(url=url))
        file.read(0, 10)
        file.close()
        assert list((tmp_path / "cache").iterdir()) == []


def test_room_is_made_of_what_was_used_least_lately(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 10 * MIB)
    for number in range(4):
        pieces = cache.entry(f"http://host/{number}", {})
        pieces.add(0, bytes([number]) * 4 * MIB)
        pieces.close()
        os.utime(pieces.folder, (number, number))
    used = cache.entry("http://host/0", {})
    os.utime(used.folder, (0, 0))
    cache.added(64 * MIB)
    left = {next(path.name for path in folder.glob("0-*")) for folder in tmp_path.iterdir() if folder.is_dir()}
    assert len(left) == 2  # the newest, and the oldest, which is in use
    assert used.read(0, 1) == b"\0"
    assert cache.entry("http://host/3", {}).ranges == ((0, 4 * MIB),)
    assert cache.entry("http://host/1", {}).ranges == ()


HOLD = """
import sys
from pathlib import Path
from filtercrawl.transport.cache_entry import CacheEntry
pieces = CacheEntry(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_another_process_does_not_lose_what_it_uses(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 1 * MIB)
    pieces = cache.entry("http://host/0", {})
    pieces.add(0, bytes(2 * MIB))
    pieces.close()
    held = [sys.executable, "-c", HOLD, str(pieces.folder)]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        cache.added(64 * MIB)
        assert pieces.folder.is_dir()
        other.communicate("")
    cache.added(64 * MIB)
    assert not pieces.folder.is_dir()


def test_a_run_goes_on_when_its_bytes_are_taken_away(opening: Opening, tmp_path: Path) -> None:
    with FileServer() as server:
        file = opening(NetworkSettings(cache=tmp_path)).open(RemoteFile(url=server.put("/net", DATA)))
        file.prefetch([(0, len(DATA))])
        file.read(0, len(DATA))
        file.prefetch([(0, len(DATA))])
        assert file.read(0, len(DATA)) == DATA
        before = len(server.log)
        assert file.size
        file.prefetch([(0, MIB)])
        assert len(server.log) == before
        for piece in tmp_path.rglob("*-*-*"):
            piece.unlink()
        assert file.read(2 * MIB, 600_000) == DATA[2 * MIB : 2 * MIB + 600_000]
        assert len(server.log) > before


def test_a_folder_that_cannot_be_written_is_one_clear_line(opening: Opening, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with FileServer() as server:
        file = opening(NetworkSettings(cache=tmp_path / "file/below")).open(RemoteFile(url=server.put("/net", DATA)))
        with pytest.raises(NetworkError, match=r"set cache under \[sync\]"):
            file.read(0, 10)


def test_readers_and_requests_share_each_byte_once(opening: Opening, tmp_path: Path) -> None:
    """Many threads want, read and jump; every byte is fetched at most once."""
    chance = random.Random(5)
    with FileServer() as server:
        transport = opening(NetworkSettings(cache=tmp_path), TransportOptions(fixed_gap=0))
        file = transport.open(RemoteFile(url=server.put("/net", DATA), size=len(DATA)))
        wanted = [(chance.randrange(len(DATA) - 60_000), chance.choice((10, 5000, 60_000))) for _ in range(200)]

        def read(place: tuple[int, int]) -> bool:
            start, length = place
            if start % 3 == 0:
                file.prefetch([(start, start + length)])
            return file.read(start, length) == DATA[start : start + length]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, wanted))
        file.close()
        assert file.bytes_read <= len(DATA)
        assert transport.bytes_fetched == file.bytes_read


def test_one_fault_ends_all_that_waits_for_it(opening: Opening, tmp_path: Path) -> None:
    with FileServer() as server:
        transport = opening(NetworkSettings(cache=tmp_path), TransportOptions(retry=RetryPolicy(attempts=2)))
        file = transport.open(RemoteFile(url=server.put("/net", DATA), size=len(DATA)))
        assert file.read(0, 10)
        server.fail("/net", Fault(status=503), always=True)
        file.prefetch([(MIB, 2 * MIB)])
        for _ in range(2):
            with pytest.raises(NetworkError, match="503"):
                file.read(MIB, 10)
        file.close()


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_only_the_owner_may_read_what_was_fetched(tmp_path: Path, umask: int) -> None:
    """Whatever the umask, in a folder that others may list, and where an older version left a folder open."""
    cache = RangeCache(tmp_path)
    before = os.umask(umask)
    try:
        left = cache.entry("https://zoo.example/a", {"sha256": "0"})
        left.close()
        left.folder.chmod(0o755)
        for entry in (cache.entry("https://zoo.example/a", {"sha256": "0"}), cache.private()):
            entry.add(0, b"secret")
            entry.version = {"ETag": '"1"'}
            entry.close()
            assert entry.folder.stat().st_mode & 0o777 == 0o700
            files = list(entry.folder.iterdir())
            assert len(files) == 3
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        home = RangeCache(tmp_path / "home")
        home.reserve(1, "a")
        assert home.folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
