"""A remote file is read by range, bit for bit, whatever the server does in between."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filtercrawl.api import RemoteFile, TruncatedError
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import AccessDeniedError, ChangedError, NetworkError, NotFoundError
from filtercrawl.api.transport import OpenedFile, Transport
from filtercrawl.config import NetworkSettings
from filtercrawl.transport import network
from filtercrawl.transport.client import HttpTransport
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import Clock, RetryPolicy
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.zip.archive import ZipArchive
from support.http_server import Answer, Asked, Fault, FileServer, gzipped, multipart, ranged

KIB = 1024
DATA = random.Random(0).randbytes(3_000_000)
OPTIONS = TransportOptions(read_timeout=0.3, retry=RetryPolicy(attempts=4))
QUICK = CancellationToken(sleep=lambda seconds: None)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


@pytest.fixture
def cdn() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


@pytest.fixture
def transport() -> Transport:
    return network(cancellation=QUICK, options=OPTIONS)


@pytest.fixture
def file(server: FileServer, transport: Transport) -> Iterator[OpenedFile]:
    """DATA at /f of the server, its size not known beforehand."""
    opened = transport.open(RemoteFile(url=server.put("/f", DATA), path="net/f.bin"))
    yield opened
    opened.close()


def test_size_and_bytes(server: FileServer, file: OpenedFile, transport: Transport) -> None:
    assert file.name == "net/f.bin"
    assert server.log == []
    assert file.size == len(DATA)
    assert file.read(0, 8) == DATA[:8]
    assert [asked.headers["range"] for asked in server.log] == ["bytes=0-65535"]
    assert server.log[0].headers["accept-encoding"] == "identity"
    assert file.read(2_999_990, 10) == DATA[-10:]
    assert file.read(500_000, 2_000_000) == DATA[500_000:2_500_000]
    assert file.bytes_read == transport.bytes_fetched < 3_000_000
    assert {asked.method for asked in server.log} == {"GET"}


def test_a_size_that_the_source_told_costs_nothing(server: FileServer, transport: Transport) -> None:
    file = transport.open(RemoteFile(url=server.put("/f", DATA), size=len(DATA)))
    assert (file.size, file.name, server.log) == (len(DATA), "f", [])
    assert file.read(100, 0) == b""
    with pytest.raises(TruncatedError):
        file.read(len(DATA) - 1, 2)
    assert server.log == []


def test_many_tiny_reads_cost_few_requests(server: FileServer, file: OpenedFile) -> None:
    """A header walk of a thousand reads in order over 2 MB."""
    for offset in range(0, 2_000_000, 2000):
        assert file.read(offset, 16) == DATA[offset : offset + 16]
    assert len(server.log) <= 7
    assert file.bytes_read <= 3_000_000


def test_jumps_fetch_one_block_each(server: FileServer, file: OpenedFile) -> None:
    for offset in (2_500_000, 1_000_000, 1_900_000, 200_000):
        assert file.read(offset, 100) == DATA[offset : offset + 100]
    assert file.bytes_read <= 7 * 64 * KIB


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reads=st.lists(
        st.tuples(st.integers(0, len(DATA)), st.one_of(st.integers(0, 300), st.integers(0, len(DATA)))), max_size=12
    )
)
def test_any_reads_give_the_bytes_of_the_file(file: OpenedFile, reads: list[tuple[int, int]]) -> None:
    for offset, length in reads:
        kept = min(length, len(DATA) - offset)
        assert file.read(offset, kept) == DATA[offset : offset + kept]


def test_threads_share_a_file(file: OpenedFile) -> None:
    chance = random.Random(1)
    wanted = [(chance.randrange(2_900_000), chance.choice((10, 5000, 100_000))) for _ in range(150)]
    with ThreadPoolExecutor(8) as pool:
        for (offset, length), data in zip(wanted, pool.map(lambda want: file.read(*want), wanted), strict=True):
            assert data == DATA[offset : offset + length]


def test_an_empty_file(server: FileServer, transport: Transport) -> None:
    file = transport.open(RemoteFile(url=server.put("/empty", b"")))
    assert (file.size, file.read(0, 0)) == (0, b"")


def test_a_break_is_resumed_where_it_happened(server: FileServer, file: OpenedFile) -> None:
    assert file.size
    server.fail("/f", Fault(cut=700_000, end="reset"), Fault(cut=400_000))
    assert file.read(0, 2_000_000) == DATA[:2_000_000]
    starts = [int(asked.headers["range"][6:].partition("-")[0]) for asked in server.log[1:]]
    assert starts[0] == 64 * KIB
    assert starts[0] < starts[1] <= starts[0] + 700_000  # a reset may lose what was on its way
    assert starts[2] == starts[1] + 400_000
    assert file.bytes_read == 2_000_000
    assert all(asked.headers["if-range"] for asked in server.log[1:])


def wrong(**headers: str) -> Fault:
    return Fault(headers={name.replace("_", "-"): value for name, value in headers.items()})


FAULTS = {
    "reset": Fault(cut=1000, end="reset"),
    "truncated": Fault(cut=1000),
    "nothing": Fault(cut=-1),
    "stall": Fault(cut=1000, end="stall"),
    "429": Fault(status=429, headers={"Retry-After": "1"}),
    "500": Fault(status=500),
    "too short": Fault(change=lambda answer: replace(answer, body=answer.body[:-7])),
    "too long": Fault(change=lambda answer: replace(answer, body=answer.body + b"1234567")),
    "other place": wrong(Content_Range=f"bytes 7-65542/{len(DATA)}"),
    "beyond": wrong(Content_Range=f"bytes 0-2999999/{len(DATA)}"),
    "no range told": wrong(Content_Range=""),
    "nonsense": wrong(Content_Range="bytes banana"),
    "gzip": Fault(change=gzipped),
    "multipart": Fault(change=multipart),
    "416": Fault(status=416),
    "204": Fault(status=204, body=b""),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("times", [1, 2])
def test_a_fault_that_passes_leaves_no_trace(server: FileServer, file: OpenedFile, fault: Fault, times: int) -> None:
    server.fail("/f", *[fault] * times)
    assert file.read(0, 50_000) == DATA[:50_000]
    assert file.read(1_500_000, 1_200_000) == DATA[1_500_000:2_700_000]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_that_stays_is_an_error(server: FileServer, file: OpenedFile, fault: Fault) -> None:
    server.fail("/f", fault, always=True)
    with pytest.raises((NetworkError, ChangedError)) as caught:
        file.read(0, 50_000)
    assert "net/f.bin" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lengths_that_contradict_each_other(server: FileServer, transport: Transport) -> None:
    file = transport.open(RemoteFile(url=server.put("/f", DATA), size=len(DATA) + 1))
    with pytest.raises(ChangedError, match=f"has {len(DATA)} bytes, but {len(DATA) + 1} were stated"):
        file.read(0, 10)


@pytest.mark.parametrize("tag", ['"v2"', 'W/"v2"', ""])
def test_a_change_in_the_middle_is_noticed(server: FileServer, file: OpenedFile, tag: str) -> None:
    assert file.read(0, 10) == DATA[:10]
    server.put("/f", DATA[::-1] if tag else DATA[:-5], etag=tag)
    with pytest.raises(ChangedError):
        file.read(1_000_000, 10)


def test_a_change_between_two_tries_is_noticed(server: FileServer, file: OpenedFile) -> None:
    assert file.size
    good = ranged

    def changing(asked: Asked) -> Answer:
        version = b"12"[len(server.asked("/f")) > 2]
        return good(asked, bytes([version]) * len(DATA), {"ETag": f'"{version}"'})

    server.on("/f", changing)
    server.fail("/f", Fault(cut=100_000, end="reset"))
    with pytest.raises(ChangedError):
        file.read(0, 2_000_000)


def test_the_date_serves_where_there_is_no_etag(server: FileServer, transport: Transport) -> None:
    date = {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}
    file = transport.open(RemoteFile(url=server.put("/f", DATA, etag="", headers=date)))
    file.read(0, 10)
    server.put("/f", DATA[::-1], etag="", headers={"Last-Modified": "Thu, 02 Jan 2025 00:00:00 GMT"})
    with pytest.raises(ChangedError):
        file.read(1_000_000, 10)


def test_a_server_that_ignores_ranges_is_read_once(server: FileServer, file: OpenedFile) -> None:
    server.fail("/f", Fault(ignore_range=True, cut=200_000))
    server.fail("/f", Fault(ignore_range=True), always=True)
    assert file.size == len(DATA)
    assert file.read(2_000_000, 10) == DATA[2_000_000:2_000_010]
    for offset in (0, 1_000_000, 2_999_000):
        assert file.read(offset, 1000) == DATA[offset : offset + 1000]
    assert file.read(0, len(DATA)) == DATA
    assert file.fetched_in_full
    assert len(server.log) == 2
    assert file.bytes_read <= len(DATA) + 200_000


def test_a_whole_file_that_fits_nowhere(server: FileServer, file: OpenedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000}))
    assert file.size
    came = file.bytes_read
    file.prefetch([(0, len(DATA))])
    with pytest.raises(NetworkError, match=r"do not fit into .*set cache under \[sync\]"):
        file.read(0, len(DATA))
    assert file.bytes_read == came


def test_a_whole_file_that_is_wanted_is_one_request_more(server: FileServer, file: OpenedFile) -> None:
    assert file.size
    file.prefetch([(0, len(DATA))])
    assert file.read(0, len(DATA)) == DATA
    assert [asked.headers["range"] for asked in server.log] == ["bytes=0-65535", "bytes=65536-2999999"]
    assert file.bytes_read == len(DATA)


def test_a_broken_request_is_resumed(server: FileServer, file: OpenedFile) -> None:
    assert file.size
    server.fail("/f", Fault(cut=1_000_000, end="close"), Fault(cut=500_000, end="stall"))
    file.prefetch([(0, len(DATA))])
    assert file.read(0, len(DATA)) == DATA
    assert [asked.headers["range"] for asked in server.log][1:] == [
        "bytes=65536-2999999",
        "bytes=1065536-2999999",
        "bytes=1565536-2999999",
    ]
    assert file.bytes_read == len(DATA)


def test_a_whole_answer_of_unknown_length(server: FileServer, transport: Transport) -> None:
    server.put("/f", DATA)
    server.fail("/f", Fault(ignore_range=True, headers={"Content-Length": ""}), always=True)
    file = transport.open(RemoteFile(url=server.url + "/f"))
    assert file.size == len(DATA)
    assert file.read(1_000_000, 10) == DATA[1_000_000:1_000_010]


@pytest.mark.parametrize(("status", "kind"), [(403, AccessDeniedError), (404, NotFoundError)])
def test_refusals(server: FileServer, transport: Transport, status: int, kind: type[NetworkError]) -> None:
    url = server.on("/no", lambda asked: Answer(status=status))
    with pytest.raises(kind, match=f"f.bin at {url}"):
        transport.open(RemoteFile(url=url + "?signature=s3cr3t", size=10, path="f.bin")).read(0, 1)


def signed(server: FileServer, cdn: FileServer, uses: int) -> str:
    """A file behind a redirect to a signed address that serves so many requests."""
    addresses = iter(range(1000))

    def resolve(asked: Asked) -> Answer:
        name = f"/blob{next(addresses)}"
        left = iter(range(uses))

        def blob(asked: Asked) -> Answer:
            expired = next(left, None) is None
            return Answer(status=403) if expired else ranged(asked, DATA, {"ETag": '"d"'})

        return Answer(status=302, headers={"Location": cdn.on(name, blob) + "?signature=s3cr3t"})

    return server.on("/resolve", resolve)


def test_a_signed_address_is_used_until_it_expires(server: FileServer, cdn: FileServer) -> None:
    # A fixed gap: on a busy machine the measured latency could make one download of everything look cheaper.
    transport = network(cancellation=QUICK, options=replace(OPTIONS, fixed_gap=0))
    file = transport.open(RemoteFile(url=signed(server, cdn, uses=3), size=len(DATA)))
    for number in range(8):
        assert file.read(number * 300_000, 10) == DATA[number * 300_000 :][:10]
    assert len(server.log) == 3  # 8 reads, 3 a signature
    assert len(cdn.log) == 8 + 2


def test_a_signed_address_that_never_works(server: FileServer, cdn: FileServer, transport: Transport) -> None:
    file = transport.open(RemoteFile(url=signed(server, cdn, uses=0), size=len(DATA)))
    with pytest.raises(AccessDeniedError) as caught:
        file.read(0, 10)
    assert "s3cr3t" not in str(caught.value)


def test_a_token_stays_at_its_origin(server: FileServer, cdn: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_TOKEN", "tok-123")
    transport = network(NetworkSettings(auth={server.url: "LAB_TOKEN"}), cancellation=QUICK, options=OPTIONS)
    file = transport.open(RemoteFile(url=signed(server, cdn, uses=1), size=len(DATA)))
    for offset in (0, 2_000_000):
        file.read(offset, 10)
    assert {asked.headers.get("authorization") for asked in server.log} == {"Bearer tok-123"}
    assert {asked.headers.get("authorization") for asked in cdn.log} == {None}


@pytest.mark.parametrize("url", ["ftp://host/f", "data:,x", "https://user:pw@host/f"])
def test_addresses_that_are_not_opened(transport: Transport, url: str) -> None:
    with pytest.raises(NetworkError):
        transport.open(RemoteFile(url=url))


def test_of_a_far_archive_the_tail_comes_with_the_head(server: FileServer) -> None:
    head, tail = "bytes=0-65535", "bytes=2934423-2999999"
    for name, ranges in (("net.pth", {head, tail}), ("net.safetensors", {head})):
        # Nothing is known of the host: it is taken for a far one.
        with closing(HttpTransport()) as transport:
            opened = transport.open(RemoteFile(url=server.put(f"/{name}", DATA), size=len(DATA), path=name))
            server.log.clear()
            assert opened.read(0, 8) == DATA[:8]
            opened.close()
        assert {asked.headers["range"] for asked in server.log} == ranges


def test_of_a_far_archive_the_tail_is_all_that_its_directory_takes(server: FileServer) -> None:
    noise = {f"layer{n}": np.frombuffer(DATA, np.uint8, 200_000, n * 200_000) for n in range(10)}
    packed = io.BytesIO()
    np.savez(packed, **noise)
    with closing(HttpTransport()) as transport:
        remote = RemoteFile(url=server.put("/net.npz", packed.getvalue()), size=len(packed.getvalue()), path="net.npz")
        with closing(transport.open(remote)) as opened:
            assert opened.read(0, 4) == b"PK\3\4"
            assert len(ZipArchive(opened, Budget(opened)).entries) == 10
    assert len(server.log) == 2


def test_who_fetches_much_does_not_wait_for_the_structure_of_the_next_ones(server: FileServer) -> None:
    begun, going = threading.Event(), threading.Event()
    much = random.Random(1).randbytes(9 * KIB * KIB)

    def held(asked: Asked) -> Answer:
        begun.set()
        assert going.wait(10)
        return ranged(asked, DATA, {"ETag": '"d"'})

    one_at_a_time = replace(OPTIONS, read_timeout=20.0, max_concurrent=1, fixed_gap=0)
    with closing(HttpTransport(options=one_at_a_time)) as transport:
        few = [
            transport.open(RemoteFile(url=server.on(f"/next/{n}", held), size=len(DATA), sha256=f"{n:064x}"))
            for n in range(10)
        ]
        for file in few:
            file.prefetch([(at * KIB, at * KIB + 1) for at in range(0, 2_000, 200)])
        assert begun.wait(10)
        first = transport.open(RemoteFile(url=server.put("/much", much), size=len(much)))
        first.prefetch([(0, len(much))])
        going.set()
        assert first.read(0, len(much)) == much
        for file in few:
            assert file.read(1_800 * KIB, 1) == DATA[1_800 * KIB : 1_800 * KIB + 1]
    asked = [asked.path for asked in server.log]
    assert asked.index("/much") < len(asked) // 2


def test_of_a_near_archive_the_tail_is_not_guessed_at(server: FileServer) -> None:
    still = Clock(monotonic=lambda: 0.0)  # every answer comes at once
    with closing(HttpTransport(cancellation=QUICK, clock=still, options=OPTIONS)) as transport:
        for name in ("first.safetensors", "net.pth"):  # the first one tells how near the host is
            server.log.clear()
            opened = transport.open(RemoteFile(url=server.put(f"/{name}", DATA), size=len(DATA), path=name))
            assert opened.read(0, 8) == DATA[:8]
            opened.close()
    assert [asked.headers["range"] for asked in server.log] == ["bytes=0-65535"]
