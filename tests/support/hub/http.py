"""How the Hub stand-in speaks HTTP, and what goes wrong while it does."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from filtercrawl.testing.loopback_server import Handler, Loopback
from support.hub.types import Answer, Asked, Fault

if TYPE_CHECKING:
    from support.hub.server import HubServer

# Pages of other origins may read what is public.
_CROSS_ORIGIN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Accept-Ranges,Content-Range,ETag,X-Repo-Commit,X-Linked-Size,X-Linked-ETag",
}
Route = Callable[[Asked], Answer]


class _Handler(Handler):
    hub: HubServer
    route: Route

    def _do(self) -> None:
        asked = self._asked()
        number = self.hub.count(asked)
        fault = self.hub.watch(number, asked, "asked") or self.hub.next_fault(asked.path)
        if fault is not None and fault.line == "before":
            self._reset()
        elif fault is not None and fault.status is not None:
            self._send(asked, Answer(status=fault.status, headers=fault.headers), None)
        else:
            answer = ranged(type(self).route(asked), asked.headers.get("range"))
            fault = self.hub.watch(number, asked, "answered") or fault
            if fault is not None and fault.line == "after":
                self._reset()
            else:
                self._send(asked, answer, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _do  # noqa: N815 - the base class's names

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.hub.ahead.total_seconds())

    def _asked(self) -> Asked:
        parts = urlsplit(self.path)
        body = self.body()
        query = parse_qs(parts.query, keep_blank_values=True)
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            query |= parse_qs(body.decode())
        path, headers = unquote(parts.path), {k.lower(): v for k, v in self.headers.items()}
        return Asked(method=self.command, path=path, query=query, headers=headers, kind=kind(path), body=body)

    def _send(self, asked: Asked, answer: Answer, fault: Fault | None) -> None:
        self.send_response(answer.status)
        for name, value in {**_CROSS_ORIGIN, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if asked.method == "HEAD":
            return
        self.wfile.write(answer.body if fault is None else answer.body[: fault.cut])
        if fault is not None:
            self.wfile.flush()
            if fault.end == "reset":
                time.sleep(0.05)  # so that the client has the first bytes
                self._reset()
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def serve(hub: HubServer, route: Route) -> Loopback:
    """Begin to answer on a free port of loopback."""
    handler = type("Handler", (_Handler,), {"hub": hub, "route": staticmethod(route)})
    return Loopback(handler).start()


def kind(path: str) -> str:
    """Name the endpoint that a path belongs to."""
    if path == "/api/models":
        return "list"
    if path.startswith("/lfs/"):
        return "lfs"
    if "/resolve/" in path:
        return "resolve"
    match = re.fullmatch(r"/api/(?:models|datasets|spaces)/[^/]+/[^/]+(?:/([^/]+).*)?", path)
    return "other" if match is None else {None: "info", "revision": "info"}.get(match[1], str(match[1]))


def ranged(answer: Answer, wanted: str | None) -> Answer:
    """Cut an answer to the range that was asked for."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if answer.status != 200 or match is None:
        return answer
    size = len(answer.body)
    start = int(match[1]) if match[1] else max(size - int(match[2]), 0)
    stop = min(int(match[2]) + 1, size) if match[1] and match[2] else size
    if start >= size:
        return Answer(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers = {**answer.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return Answer(status=206, headers=headers, body=answer.body[start:stop])
