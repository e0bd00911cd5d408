"""Requests through the client: retries, rate limits, credentials by origin, budgets, mirrors, logging."""

from __future__ import annotations

import gzip
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import httpx2
import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import (
    AccessDeniedError,
    BudgetExhaustedError,
    NetworkError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from filtercrawl.api.transport import Transport
from filtercrawl.config import NetworkSettings, resolve
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from filtercrawl.transport.retry import Clock, RetryPolicy
from support.http_server import Answer, Asked, Fault, FileServer

TOKEN = "tok-3f9a-secret"


@dataclass
class Time:
    """A clock that stands still but for its sleeps, and remembers them. Chance is always one half."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def cancellation(self) -> CancellationToken:
        return CancellationToken(sleep=self.sleep)

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, wall=lambda: self.now, random=lambda: 0.5)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


@pytest.fixture
def other() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def transport(time: Time) -> Transport:
    return network(cancellation=time.cancellation, clock=time.clock, options=TransportOptions(read_timeout=0.3))


def test_json_is_returned_and_counted(server: FileServer, transport: Transport) -> None:
    assert transport.get_json(server.json("/a", {"x": [1, None]})) == {"x": [1, None]}
    (asked,) = server.log
    assert asked.headers["user-agent"].startswith("filtercrawl/")
    assert "authorization" not in asked.headers
    assert (transport.requests, transport.bytes_fetched) == (1, len('{"x": [1, null]}'))


def test_pages_follow_links_to_the_end(server: FileServer, transport: Transport) -> None:
    assert list(transport.pages(server.pages("/list", [[1, 2], [3], []]))) == [[1, 2], [3], []]
    assert transport.requests == 3


def test_pages_in_a_circle_end(server: FileServer, transport: Transport) -> None:
    url = server.json("/list", [1], {"Link": '</list>; rel="next"'})
    with pytest.raises(NetworkError, match="circle"):
        list(transport.pages(url))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429),
        Fault(status=500),
        Fault(status=502),
        Fault(status=503),
        Fault(status=504),
        Fault(cut=-1),
        Fault(cut=-1, end="reset"),
        Fault(cut=5),
        Fault(cut=5, end="reset"),
        Fault(cut=5, end="stall"),
    ],
    ids=lambda fault: f"{fault.status}-{fault.cut}-{fault.end}",
)
def test_faults_are_tried_again(server: FileServer, transport: Transport, time: Time, fault: Fault) -> None:
    url = server.json("/a", list(range(100)))
    server.fail("/a", fault, fault)
    assert transport.get_json(url) == list(range(100))
    assert transport.requests == 3
    assert time.slept == [0.25, 0.5]  # half of 0.5 and 1: exponential, with jitter


def test_a_client_library_gets_the_same_service(server: FileServer, transport: Transport) -> None:
    """What huggingface_hub does with the client: a plain request, read as a whole."""
    server.json("/api/models/x", {"id": "x"})
    server.fail("/api/models/x", Fault(cut=3, end="reset"), Fault(status=503))
    assert transport.client.get(server.url + "/api/models/x").json() == {"id": "x"}
    transport.client.close()  # a lent client stays open
    assert transport.client.get(server.url + "/api/models/x").json() == {"id": "x"}


def test_tries_end(server: FileServer, transport: Transport, time: Time) -> None:
    url = server.json("/a", 1)
    server.fail("/a", Fault(status=503), always=True)
    with pytest.raises(NetworkError, match=r"^http://127\.0\.0\.1:\d+/a: HTTP 503, 6 times in a row$"):
        transport.get_json(url + "?signature=abc")
    assert len(server.log) == 6
    assert time.slept == [0.25, 0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("written", ["7", "date"])
def test_retry_after_is_honoured(server: FileServer, transport: Transport, time: Time, written: str) -> None:
    value = formatdate(time.now + 7, usegmt=True) if written == "date" else written
    url = server.json("/a", 1)
    server.fail("/a", Fault(status=429, headers={"Retry-After": value}))
    assert transport.get_json(url) == 1
    assert time.slept == [pytest.approx(7.25)]


def test_one_refusal_holds_back_all_requests_to_that_place(server: FileServer, transport: Transport) -> None:
    time = Time()
    transport = network(
        cancellation=time.cancellation, clock=time.clock, options=TransportOptions(retry=RetryPolicy(attempts=1))
    )
    server.json("/api/a", 1)
    server.json("/api/b", 2)
    server.fail("/api/a", Fault(status=429, headers={"Retry-After": "20"}))
    with pytest.raises(NetworkError):
        transport.get_json(server.url + "/api/a")
    assert time.slept == []
    assert transport.get_json(server.url + "/api/b") == 2
    assert time.slept == [20.0]


def test_a_longer_wait_than_allowed_is_refused(server: FileServer, transport: Transport, time: Time) -> None:
    url = server.json("/a", 1)
    server.fail("/a", Fault(status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(NetworkError, match="asks to wait 86400 s; run again later"):
        transport.get_json(url)
    assert (len(server.log), time.slept) == (1, [])


def test_rate_limit_headers_are_honoured_by_quota(server: FileServer, transport: Transport, time: Time) -> None:
    used_up = {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    server.json("/api/a", 1, used_up)
    server.json("/resolve/b", 2, {"RateLimit": '"resolvers";r=4999;t=55'})
    assert transport.get_json(server.url + "/api/a") == 1
    assert transport.get_json(server.url + "/resolve/b") == 2
    assert time.slept == []
    transport.get_json(server.url + "/api/a")
    assert time.slept == [55.0]


def test_the_rest_of_a_quota_is_spread(server: FileServer, transport: Transport, time: Time) -> None:
    url = server.json("/api/a", 1, {"RateLimit": '"api";r=10;t=50', "RateLimit-Policy": '"api";q=500;w=300'})
    for _ in range(4):
        transport.get_json(url)
    assert time.slept == [5.0, 5.0]  # one answer to learn it, one request to begin with


def test_requests_that_change_something_are_sent_once(server: FileServer, transport: Transport) -> None:
    server.on("/post", lambda asked: Answer(body=asked.body))
    server.fail("/post", Fault(status=500))
    assert transport.client.post(server.url + "/post", content=b"x").status_code == 500
    server.fail("/post", Fault(cut=-1))
    with pytest.raises(httpx2.RemoteProtocolError):
        transport.client.put(server.url + "/post", content=b"x")
    assert len(server.log) == 2
    server.fail("/post", Fault(status=429))  # turned away: nothing has happened yet
    assert transport.client.post(server.url + "/post", content=b"x").content == b"x"
    server.fail("/post", Fault(status=500))
    answer = transport.client.post(server.url + "/post", content=b"y", headers={"Idempotency-Key": "1"})
    assert answer.content == b"y"


def test_an_unreachable_host_gets_one_attempt_a_request(server: FileServer, time: Time) -> None:
    server.close()
    transport = network(cancellation=time.cancellation, clock=time.clock)
    for expected in (3, 3):
        with pytest.raises(NetworkError):
            transport.get_json(server.url + "/a")
        assert len(time.slept) == expected


def test_a_host_that_cannot_be_reached_is_given_up(
    server: FileServer, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.json("/a", 1)
    server.close()
    options = TransportOptions(unreachable_limit=3)
    transport = network(cancellation=time.cancellation, clock=time.clock, options=options)
    for number in range(5):
        with pytest.raises(UnreachableError, match="in a row" if number == 0 else None) as raised:
            transport.get_json(url)
        assert ("this run sends it no more requests" in str(raised.value)) == (number > 2)
    assert transport.requests == 4 + 1 + 1
    at_once, at_last = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert re.fullmatch(rf"{server.url} cannot be reached \(.+\); trying again", at_once)
    assert at_last.startswith(f"{server.url} cannot be reached (")
    with pytest.raises(NetworkError):
        transport.open(RemoteFile(url=url)).read(0, 1)
    assert transport.requests == 6


def test_a_host_that_responds_in_between_is_not_given_up(
    server: FileServer, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.json("/a", 1)
    options = TransportOptions(unreachable_limit=2, retry=RetryPolicy(attempts=1))
    transport = network(cancellation=time.cancellation, clock=time.clock, options=options)
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
            patch.setenv("no_proxy", "")
            with pytest.raises(UnreachableError):
                transport.get_json(url)
        assert transport.get_json(url) == 1


def test_at_most_so_many_at_a_time(server: FileServer) -> None:
    gate = threading.Barrier(3, timeout=10)

    def slow(asked: Asked) -> Answer:
        gate.wait()  # passes only when three are here at once
        return Answer(body=b"1")

    server.on("/slow", slow)
    transport = network(options=TransportOptions(max_concurrent=3))
    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(transport.get_json, [server.url + "/slow"] * 9)) == [1] * 9
    assert server.most_at_once == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AccessDeniedError), (403, AccessDeniedError), (404, NotFoundError), (410, NotFoundError)]
)
def test_refusals_are_told_apart(
    server: FileServer, transport: Transport, status: int, kind: type[NetworkError]
) -> None:
    server.on("/a", lambda asked: Answer(status=status))
    with pytest.raises(kind, match=f"HTTP {status}"):
        transport.get_json(server.url + "/a")
    assert len(server.log) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "nonsense", "http://", "http://host:x/"])
def test_only_http(transport: Transport, url: str) -> None:
    with pytest.raises(NetworkError, match="only http and https"):
        transport.get_json(url)
    assert transport.requests == 0


def test_a_redirect_leads_to_no_file(server: FileServer, transport: Transport) -> None:
    with pytest.raises(NetworkError):
        transport.get_json(server.redirect("/a", "file:///etc/passwd"))
    with pytest.raises(NetworkError, match="too many redirects"):
        transport.get_json(server.redirect("/b", "/b"))


def test_credentials_in_a_url_are_refused(transport: Transport) -> None:
    with pytest.raises(NetworkError) as caught:
        transport.get_json(f"https://user:{TOKEN}@host/x?y={TOKEN}")
    assert TOKEN not in str(caught.value)
    assert '[auth."https://host"]' in str(caught.value)


def test_an_answer_that_is_no_json(server: FileServer, transport: Transport) -> None:
    with pytest.raises(NetworkError, match="not JSON"):
        transport.get_json(server.put("/a", b"<html>"))


def test_a_compressed_listing_is_read_and_a_bomb_is_not(
    server: FileServer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    good = server.on("/good", lambda asked: Answer(body=gzip.compress(json.dumps([1]).encode()), headers=packed))
    assert transport.get_json(good) == [1]
    monkeypatch.setattr("filtercrawl.transport.response_body.MAX_RESPONSE_BYTES", 1000)
    bomb = server.on("/bomb", lambda asked: Answer(body=gzip.compress(b"0" * 100_000), headers=packed))
    with pytest.raises(NetworkError, match="larger than 1000 bytes"):
        transport.get_json(bomb)


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_client_library_is_given_no_bomb_either(
    server: FileServer, transport: Transport, monkeypatch: pytest.MonkeyPatch, kind: str, layers: int
) -> None:
    """The limit counts decoded bytes, also of a body that was compressed twice."""
    monkeypatch.setattr("filtercrawl.transport.response_body.MAX_RESPONSE_BYTES", 1000)
    body = b"0" * 1_000_000
    for _ in range(layers):
        body = gzip.compress(body)
    packed = {"Content-Encoding": ", ".join(["gzip"] * layers), "Content-Type": kind}
    url = server.on("/bomb", lambda asked: Answer(body=body, headers=packed))
    with pytest.raises(httpx2.TransportError, match="larger than 1000 bytes"):
        transport.client.get(url)
    small = gzip.compress(b"[1]")
    good = server.on("/good", lambda asked: Answer(body=small, headers={**packed, "Content-Encoding": "gzip"}))
    assert transport.client.get(good).text == "[1]"


@pytest.mark.parametrize("status", [302, 404])
def test_the_body_of_a_refusal_is_kept_in_part(server: FileServer, transport: Transport, status: int) -> None:
    server.json("/there", 1)
    headers = {"Location": "/there"} if status == 302 else {}
    url = server.on("/a", lambda asked: Answer(status=status, headers=headers, body=b"x" * 5_000_000))
    response = transport.client.get(url, follow_redirects=False)
    assert (response.status_code, len(response.content)) == (status, 65536)
    if status == 302:
        assert transport.get_json(url) == 1


def test_the_budget_of_requests(server: FileServer) -> None:
    url = server.json("/a", 1)
    transport = network(NetworkSettings(max_requests=2))
    assert [transport.get_json(url), transport.get_json(url)] == [1, 1]
    with pytest.raises(BudgetExhaustedError, match="budget of 2 requests"):
        transport.get_json(url)
    assert len(server.log) == 2


def test_the_budget_of_bytes(server: FileServer) -> None:
    url = server.json("/a", "x" * 100)
    transport = network(NetworkSettings(max_bytes=50))
    transport.get_json(url)
    with pytest.raises(BudgetExhaustedError, match="budget of 50 bytes"):
        transport.get_json(url)


def test_a_shared_budget_is_asked_before_each_request(server: FileServer) -> None:
    told: list[int] = []

    def admit(n_bytes: int) -> bool:
        told.append(n_bytes)
        return len(told) < 3

    made = network(NetworkSettings(), options=TransportOptions(admit=admit))
    url = server.put("/a", b"[1, 2]")
    assert [made.get_json(url) for _ in range(2)] == [[1, 2]] * 2
    with pytest.raises(BudgetExhaustedError):
        made.get_json(url)
    assert (told, made.requests, len(server.log)) == ([0, 6, 6], 2, 2)


def test_mirrors(server: FileServer, time: Time) -> None:
    server.json("/hub/api/models", [1], {"Link": '<https://zoo.example/api/more>; rel="next"'})
    server.json("/hub/api/more", [2])
    server.json("/rest/x", 3)
    mirrors = {"https://zoo.example/": server.url + "/hub/", "https://zoo.example/special/": server.url + "/rest/"}
    transport = network(NetworkSettings(mirrors=mirrors), cancellation=time.cancellation, clock=time.clock)
    assert list(transport.pages("https://zoo.example/api/models")) == [[1], [2]]
    assert transport.get_json("https://zoo.example/special/x") == 3
    assert all(asked.headers["host"] == server.url.removeprefix("http://") for asked in server.log)


def test_requests_retries_and_waits_are_logged_without_secrets(
    server: FileServer, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "filtercrawl")
    url = server.json("/api/a", 1, {"RateLimit": '"api";r=0;t=55'})
    server.fail("/api/a", Fault(status=503))
    for _ in range(2):
        transport.get_json(url + f"?signature={TOKEN}")
    lines = [record.getMessage() for record in caplog.records]
    assert f"{url}: HTTP 503; retry in 0.2 s" in lines
    assert f"{url}: waiting 55.0 s for the rate limit" in lines
    assert [line for line in lines if line.startswith(f"GET {url}: HTTP 200 after ")]
    assert TOKEN not in caplog.text


Serve = Callable[[FileServer], str]


def test_a_token_goes_to_its_origin_only(
    server: FileServer, other: FileServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAB_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    transport = network(NetworkSettings(auth={server.url: "LAB_TOKEN"}))
    other.json("/there", 1)
    server.redirect("/here", other.url + "/there")
    assert transport.get_json(server.url + "/here") == 1
    assert transport.get_json(other.url + "/there") == 1
    other.redirect("/back", server.json("/mine", 2))
    assert transport.get_json(other.url + "/back") == 2  # what another server asks for is asked for without it
    assert [asked.headers.get("authorization") for asked in server.asked("/mine")] == [None]
    assert [asked.headers.get("authorization") for asked in server.asked("/here")] == [f"Bearer {TOKEN}"]
    assert {asked.headers.get("authorization") for asked in other.log} == {None}
    server.on("/refused", lambda asked: Answer(status=403, body=asked.headers["authorization"].encode()))
    with pytest.raises(AccessDeniedError) as caught:
        transport.get_json(server.url + "/refused")
    assert TOKEN not in str(caught.value)
    assert TOKEN not in caplog.text


def test_a_token_does_not_follow_to_a_mirror(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_TOKEN", TOKEN)
    monkeypatch.setenv("MIRROR_TOKEN", "mirror-token")
    server.json("/a", 1)
    mirrors = {"https://zoo.example/": server.url + "/"}
    transport = network(NetworkSettings(mirrors=mirrors, auth={"https://zoo.example": "ZOO_TOKEN"}))
    transport.get_json("https://zoo.example/a")
    transport.client.get("https://zoo.example/a", headers={"Authorization": f"Bearer {TOKEN}", "Cookie": "a=b"})
    assert {asked.headers.get("authorization") for asked in server.log} == {None}
    assert not any("cookie" in asked.headers for asked in server.log)
    both = {"https://zoo.example": "ZOO_TOKEN", server.url: "MIRROR_TOKEN"}
    network(NetworkSettings(mirrors=mirrors, auth=both)).get_json("https://zoo.example/a")
    assert server.log[-1].headers["authorization"] == "Bearer mirror-token"


def test_a_proxy_of_the_environment_is_used(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.json("/a", 1)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    transport = network()
    assert transport.get_json("http://zoo.example/a") == 1
    assert transport.get_json(server.url + "/a") == 1
    assert [asked.headers["host"] for asked in server.log] == ["zoo.example", server.url.removeprefix("http://")]


@pytest.mark.parametrize("value", ["", "two words", "line\nbreak", "caf\u00e9"])
def test_a_token_that_is_none_is_named_not_shown(
    server: FileServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LAB_TOKEN", value)
    transport = network(NetworkSettings(auth={server.url: "LAB_TOKEN"}))
    with pytest.raises(UsageError, match="LAB_TOKEN") as caught:
        transport.get_json(server.url + "/a")
    assert not value or value not in str(caught.value)
    assert server.log == []


def test_settings_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "filtercrawl.toml").write_text(
        '[sync]\nmax_requests = 9\nmax_bytes = "1k"\n'
        '[auth."https://Lab.example/"]\ntoken_env = "LAB"\n'
        '[mirrors]\n"https://huggingface.co" = "http://127.0.0.1:8000"\n'
    )
    settings = resolve({"cache_size": "2k"}, tmp_path)
    assert settings.network == NetworkSettings(
        cache=tmp_path / "cache/filtercrawl",
        cache_size=2048,
        auth={"https://lab.example": "LAB"},
        mirrors={"https://huggingface.co/": "http://127.0.0.1:8000/"},
    )  # and no budgets, which are those of a sync
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert resolve({}, tmp_path).network.auth["https://huggingface.co"] == "HF_TOKEN"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1234/")
    assert resolve({}, tmp_path).network.auth["http://127.0.0.1:1234"] == "HF_TOKEN"


@pytest.mark.parametrize(
    "text",
    [
        f'[auth."https://a.example"]\ntoken = "{TOKEN}"',
        f'[auth."https://a.example"]\ntoken_env = "{TOKEN}"',
        f'[auth."https://a.example"]\ntoken_env = "A"\ntoken = "{TOKEN}"',
        '[auth."https://a.example/path"]\ntoken_env = "A"',
        '[auth."a.example"]\ntoken_env = "A"',
        '[mirrors]\n"a.example" = "https://b.example"',
        '[mirrors]\n"https://a.example" = 3',
    ],
)
def test_mistakes_in_the_settings_of_the_network(tmp_path: Path, text: str) -> None:
    (tmp_path / "filtercrawl.toml").write_text(text)
    with pytest.raises(UsageError, match=r"filtercrawl\.toml") as caught:
        resolve({}, tmp_path)
    assert TOKEN not in str(caught.value)
