"""Where redirects lead, with real clients: a proxy plays the public servers, so that no network is needed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import NetworkError
from filtercrawl.config import NetworkSettings
from filtercrawl.transport import MeasuredTransport, hub, network
from filtercrawl.transport.hub import restored_hub_client
from support.http_server import Answer, FileServer

METADATA = "http://169.254.169.254/latest/meta-data/"


Connect = Callable[..., MeasuredTransport]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes transports, and closes them at the end."""
    with ExitStack() as opened:

        def make(settings: NetworkSettings | None = None) -> MeasuredTransport:
            transport = network(settings)
            opened.callback(transport.close)
            return transport

        yield make


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A proxy that answers for every public host itself; this machine is asked without it."""
    with FileServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1,localhost,rebound.example")
        yield proxy


@pytest.fixture
def internal() -> Iterator[FileServer]:
    """A server of this machine that only it should reach."""
    with FileServer() as running:
        running.json("/secret", "secret")
        yield running


def by_name(server: FileServer) -> str:
    return server.url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("named", ["address", "name"])
def test_a_public_server_does_not_lead_to_this_machine(
    connect: Connect, public: FileServer, internal: FileServer, named: str, hops: int
) -> None:
    target = (internal.url if named == "address" else by_name(internal)) + "/secret"
    for hop in range(1, hops):
        public.redirect(f"/{hop}", f"http://zoo{hop + 1}.example/{hop + 1}")
    public.redirect(f"/{hops}", target)
    with pytest.raises(NetworkError, match="an address of this machine; allow it by local_redirects"):
        connect().get_json("http://zoo1.example/1")
    assert internal.log == []
    assert connect(NetworkSettings(local_redirects=True)).get_json("http://zoo1.example/1") == "secret"


def test_a_link_to_the_next_page_is_confined_like_a_redirect(
    connect: Connect, public: FileServer, internal: FileServer
) -> None:
    public.json("/list", [1], {"Link": f'<{internal.url}/secret>; rel="next"'})
    pages = connect().pages("http://zoo.example/list")
    assert next(pages) == [1]
    with pytest.raises(NetworkError, match="an address of this machine"):
        next(pages)
    assert internal.log == []


def test_a_connection_that_a_source_opened_is_not_reused_for_a_redirect(
    connect: Connect, public: FileServer, internal: FileServer
) -> None:
    transport = connect()
    assert transport.get_json(internal.url + "/secret") == "secret"
    public.redirect("/a", internal.url + "/secret")
    with pytest.raises(NetworkError, match="an address of this machine"):
        transport.get_json("http://zoo.example/a")
    assert len(internal.log) == 1


@pytest.mark.parametrize("target", [METADATA, "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/"])
def test_nobody_leads_to_metadata(connect: Connect, public: FileServer, internal: FileServer, target: str) -> None:
    transport = connect()
    public.redirect("/a", target)
    internal.redirect("/a", target)
    for url in ("http://zoo.example/a", internal.url + "/a", target):
        with pytest.raises(NetworkError, match="link-local or metadata address"):
            transport.get_json(url)
    assert [asked.path for asked in public.log] == ["/a"]


def test_a_server_of_this_machine_may_lead_to_another(connect: Connect, internal: FileServer) -> None:
    with FileServer() as other:
        other.redirect("/a", by_name(internal) + "/secret")
        assert connect().get_json(other.url + "/a") == "secret"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://zoo.example/a", "gopher://zoo.example/"])
def test_only_http_is_followed(connect: Connect, public: FileServer, target: str) -> None:
    public.redirect("/a", target)
    with pytest.raises(NetworkError, match="only http and https are followed"):
        connect().get_json("http://zoo.example/a")


def test_the_address_that_is_checked_is_the_one_that_is_connected_to(
    connect: Connect, public: FileServer, internal: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that says something public first and this machine afterwards (DNS rebinding)."""
    answers = iter(["127.0.0.1", "127.0.0.1", "127.0.0.1"])
    asked = []
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "rebound.example":
            return real(host, *arguments, **named)
        asked.append(host)
        return real(next(answers), *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    port = internal.url.rpartition(":")[2]
    public.redirect("/a", f"http://rebound.example:{port}/secret")
    with pytest.raises(NetworkError, match=r"rebound\.example \(127\.0\.0\.1\), an address of this machine"):
        connect().get_json("http://zoo.example/a")
    assert asked == ["rebound.example"]
    assert internal.log == []


def test_the_target_that_a_file_remembers_stays_confined(
    connect: Connect, public: FileServer, internal: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first range comes from a public host; when its name is resolved again it has become this machine."""
    data = bytes(range(256)) * 4000
    public.put("/cdn", data)
    internal.put("/cdn", data)
    port = internal.url.rpartition(":")[2]
    public.redirect("/a", f"http://cdn.example:{port}/cdn")
    file = connect().open(RemoteFile(url="http://zoo.example/a", size=len(data)))
    assert file.read(0, 10) == data[:10]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: real("127.0.0.1" if host == "cdn.example" else host, *more, **named),
    )
    monkeypatch.setenv("no_proxy", "127.0.0.1,cdn.example")
    with pytest.raises(NetworkError, match="an address of this machine"):
        file.read(len(data) - 10, 10)
    assert internal.log == []


def test_the_client_of_huggingface_hub_is_confined(
    connect: Connect, public: FileServer, internal: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """It asks where a file is, without following, and requests that URL itself."""
    internal.put("/secret.bin", b"secret")
    stated = {"X-Repo-Commit": "a" * 40, "X-Linked-Etag": '"b"', "X-Linked-Size": "6", "ETag": '"b"'}
    public.redirect("/*", internal.url + "/secret.bin", headers=stated)
    transport = connect()
    with restored_hub_client():
        api = hub.api(transport, "http://hub.example")
        with pytest.raises(NetworkError, match="an address of this machine"), hub.translate_hub_errors("it"):
            api.hf_hub_download("org/net", "net.bin", cache_dir=tmp_path)
    assert internal.log == []


def test_a_token_does_not_follow_to_another_host_nor_come_from_it(
    connect: Connect, public: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the token of the first host, nor one that the second would get if the user had asked for it."""
    monkeypatch.setenv("ZOO_TOKEN", "zoo-token")
    monkeypatch.setenv("OTHER_TOKEN", "other-token")
    auth = {"http://zoo.example": "ZOO_TOKEN", "http://other.example": "OTHER_TOKEN"}
    transport = connect(NetworkSettings(auth=auth))
    public.redirect("/a", "http://other.example/b")
    public.json("/b", 1)
    public.json("/list", [1], {"Link": '<http://other.example/b>; rel="next"'})
    public.json("/own", [1], {"Link": '</b>; rel="next"'})
    transport.get_json("http://zoo.example/a")
    list(transport.pages("http://zoo.example/list"))
    list(transport.pages("http://zoo.example/own"))
    sent = [(asked.path, asked.headers["host"], asked.headers.get("authorization")) for asked in public.log]
    zoo = "Bearer zoo-token"
    assert sent == [
        ("/a", "zoo.example", zoo),
        ("/b", "other.example", None),
        ("/list", "zoo.example", zoo),
        ("/b", "other.example", None),
        ("/own", "zoo.example", zoo),
        ("/b", "zoo.example", zoo),
    ]
    transport.get_json("http://other.example/b")
    assert public.log[-1].headers["authorization"] == "Bearer other-token"


def test_the_body_of_a_redirect_is_not_read_to_its_end(connect: Connect, public: FileServer) -> None:
    public.json("/b", 1)
    body = bytes(1 << 22)
    public.on("/a", lambda asked: Answer(status=302, headers={"Location": "http://zoo.example/b"}, body=body))
    transport = connect()
    assert transport.get_json("http://zoo.example/a") == 1
    assert transport.bytes_fetched < 1 << 20  # type: ignore[attr-defined]
