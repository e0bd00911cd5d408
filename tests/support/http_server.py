"""A real HTTP file server on loopback: ranges, ETags, redirects, Link pages, a log of requests, and faults on demand.

`with FileServer() as server:` then `url = server.put("/net.safetensors", data)`, `server.redirect("/signed", url)`,
`server.pages("/list", [[1, 2], [3]])`, `server.on("/api/*", lambda asked: Answer(status=401))`,
`server.fail("/net.safetensors", Fault(status=503), Fault(cut=1000, end="reset"))`; `server.log` says what was asked.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import socket
import struct
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from filtercrawl.testing.loopback_server import Handler, Loopback


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it arrived. path: decoded, without the query. headers: names in lower case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent. A Content-Length among the headers replaces the true one."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with one answer.

    status, headers: instead of the right ones. body: instead of the right one. cut: only so many bytes of the body are
    sent, then `end` happens: the connection is closed, reset, or nothing comes any more for `seconds`; closing before
    the status line is `cut=-1`. ignore_range: the whole file with 200. change: any other change to the answer.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None
    end: Literal["close", "reset", "stall"] = "close"
    seconds: float = 30.0
    ignore_range: bool = False
    change: Callable[[Answer], Answer] | None = None


def gzipped(answer: Answer) -> Answer:
    """The answer as a compressing proxy sends it."""
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
    return replace(answer, body=gzip.compress(answer.body), headers=headers | {"Content-Encoding": "gzip"})


def multipart(answer: Answer) -> Answer:
    """The answer as `multipart/byteranges` of one part."""
    kept = {name: value for name, value in answer.headers.items() if name != "Content-Range"}
    head = f"--B\r\nContent-Range: {answer.headers.get('Content-Range', '')}\r\n\r\n".encode()
    kind = {"Content-Type": "multipart/byteranges; boundary=B"}
    return replace(answer, body=head + answer.body + b"\r\n--B--\r\n", headers=kept | kind)


Route = Callable[[Asked], Answer]


class FileServer(Loopback):
    """Serves what it is given at `url`, one thread a connection. Use as a context manager; all methods are safe at any
    time, also while requests are under way.
    """

    def __init__(self) -> None:
        self.log: list[Asked] = []
        self.closing = threading.Event()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        super().__init__(type("Handler", (_Handler,), {"zoo": self}))

    def put(self, path: str, data: bytes, etag: str | None = None, headers: Mapping[str, str] | None = None) -> str:
        """Serve bytes at a path, with a strong ETag (default: of the content; "" for none); returns the URL."""
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"' if etag is None else etag
        extra = {"Content-Type": "application/octet-stream"} | ({"ETag": tag} if tag else {}) | dict(headers or {})
        return self.on(path, lambda asked: ranged(asked, data, extra))

    def json(self, path: str, value: Any, headers: Mapping[str, str] | None = None) -> str:
        """Serve a JSON value; returns the URL."""
        answer = Answer(
            body=json.dumps(value).encode(), headers={"Content-Type": "application/json"} | dict(headers or {})
        )
        return self.on(path, lambda asked: answer)

    def pages(self, path: str, pages: Sequence[Any]) -> str:
        """Serve JSON pages linked by `Link: <...?page=N>; rel="next"`; returns the first one's URL."""

        def route(asked: Asked) -> Answer:
            number = int(asked.query.get("page", ["0"])[0])
            headers = {"Content-Type": "application/json"}
            if number + 1 < len(pages):
                headers["Link"] = f'<{self.url}{path}?page={number + 1}>; rel="next"'
            return Answer(body=json.dumps(pages[number]).encode(), headers=headers)

        return self.on(path, route)

    def redirect(self, path: str, location: str, status: int = 302, headers: Mapping[str, str] | None = None) -> str:
        """Send whoever asks for a path to another URL; returns the URL."""
        answer = Answer(status=status, headers={"Location": location} | dict(headers or {}))
        return self.on(path, lambda asked: answer)

    def on(self, path: str, route: Route) -> str:
        """Answer a path by a function, whatever the method; returns the URL. A path "/api/*" covers all below."""
        self._routes[path] = route
        return self.url + path

    def remove(self, path: str) -> None:
        """Answer 404 from now on."""
        self._routes.pop(path, None)

    def fail(self, path: str, *faults: Fault, always: bool = False) -> None:
        """Spoil the next answers for a path, one fault each; `always`: every answer, by the one fault given."""
        if always:
            (self._always[path],) = faults
        else:
            self._faults[path].extend(faults)

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()
        self._always.clear()

    def asked(self, path: str) -> list[Asked]:
        """The requests for one path, in order."""
        return [asked for asked in self.log if asked.path == path]

    def close(self) -> None:
        self.closing.set()
        super().close()

    def answer(self, asked: Asked) -> tuple[Answer, Fault]:
        """What to send and how to spoil it."""
        with self._lock:
            self.log.append(asked)
            waiting = self._faults.get(asked.path)
            fault = waiting.popleft() if waiting else self._always.get(asked.path, Fault())
        if fault.ignore_range:
            asked = replace(asked, headers={k: v for k, v in asked.headers.items() if k != "range"})
        route = self._route(asked.path)
        answer = route(asked) if route is not None else Answer(status=404, body=b"no such file")
        if fault.status is not None and fault.status != answer.status:
            answer = Answer(status=fault.status, body=b"fault")
        answer = replace(answer, headers={**answer.headers, **fault.headers})
        if fault.body is not None:
            answer = replace(answer, body=fault.body)
        return (fault.change(answer) if fault.change else answer), fault

    def _route(self, path: str) -> Route | None:
        if path in self._routes:
            return self._routes[path]
        below = [known for known in self._routes if known.endswith("*") and path.startswith(known[:-1])]
        return self._routes[max(below, key=len)] if below else None

    def enter(self, step: int) -> None:
        with self._lock:
            self._at_once += step
            self.most_at_once = max(self.most_at_once, self._at_once)


def ranged(asked: Asked, data: bytes, headers: Mapping[str, str]) -> Answer:
    """Answer a GET or HEAD of bytes: Range, If-Range, If-Match, 416 past the end."""
    plain = {"Accept-Ranges": "bytes", **headers}
    etag = headers.get("ETag")
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if asked.headers.get("if-match", etag) != etag:
        return Answer(status=412, headers=plain)
    fresh = asked.headers.get("if-range", etag) in (etag, headers.get("Last-Modified"))
    if not match or not fresh:
        return Answer(headers=plain, body=data)
    start, stop = int(match[1]), min(int(match[2] or len(data)) + 1, len(data))
    if start >= len(data):
        return Answer(status=416, headers=plain | {"Content-Range": f"bytes */{len(data)}"})
    span = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
    return Answer(status=206, headers=plain | span, body=data[start:stop])


class _Handler(Handler):
    zoo: FileServer

    def _serve(self) -> None:
        self.zoo.enter(1)
        try:
            self._answer()
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            self.zoo.enter(-1)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the base class asks for these names

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        asked = Asked(
            method=self.command,
            path=unquote(parts.path),
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.body(),
        )
        answer, fault = self.zoo.answer(asked)
        if fault.cut is not None and fault.cut < 0:
            self._end(fault)
            return
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        if headers["Content-Length"] == "":
            del headers["Content-Length"]
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if fault.cut is None else answer.body[: fault.cut])
        if fault.cut is not None:
            self._end(fault)
        elif headers.get("Content-Length") != str(len(answer.body)):
            self.close_connection = True  # a length that is not true leaves no usable connection

    def _end(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.end == "stall":
            self.zoo.closing.wait(fault.seconds)
        if fault.end == "reset":
            # A lingering time of zero makes the close a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
