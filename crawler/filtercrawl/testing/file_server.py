"""A local HTTP server for tests: range requests, JSON responses and injectable failures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from filtercrawl.testing.loopback_server import Handler, Loopback


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """One request.

    Attributes:
        path: Decoded path without the query.
        headers: Headers with names in lower case.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a request.

    Attributes:
        url: Address of the request, without the query.
        query: The query of the request.
        length: Length that the headers state; None for that of the body. The connection ends after a shorter body.
    """

    url: str
    query: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    length: int | None = None


class FileServer(Loopback):
    """Serves files at `url`; a context manager. `log` has all requests.

    Queries of requests are ignored, so addresses may be signed.
    """

    def __init__(self, port: int = 0) -> None:
        """Open a socket on the loopback interface.

        Args:
            port: The port; 0 for any that is free.
        """
        self.log: list[RecordedRequest] = []
        self._files: dict[str, tuple[bytes, dict[str, str]]] = {}
        self._failure_status: Callable[[RecordedRequest], int | None] | None = None
        self._change: Callable[[RecordedRequest, Answer], Answer] | None = None
        super().__init__(type("Handler", (_Handler,), {"owner": self}), port)

    def put(self, path: str, data: bytes, headers: Mapping[str, str] | None = None) -> str:
        """Serve bytes at a path, with a strong ETag of the content, and return the URL."""
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        kind = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": etag}
        self._files[path] = (data, kind | dict(headers or {}))
        return self.url + path

    def json(self, path: str, value: Any, headers: Mapping[str, str] | None = None) -> str:
        """Serve a JSON value, and return the URL."""
        return self.put(path, json.dumps(value).encode(), {"Content-Type": "application/json"} | dict(headers or {}))

    def remove(self, path: str) -> None:
        """Answer 404 from now on."""
        self._files.pop(path, None)

    def fail_requests(self, status: Callable[[RecordedRequest], int | None] | None) -> None:
        """Answer a request with the status that this function returns, normally if it returns None; None ends it."""
        self._failure_status = status

    def change_answers(self, change: Callable[[RecordedRequest, Answer], Answer] | None) -> None:
        """Send what this function makes of an answer; None ends it."""
        self._change = change

    def answer(self, request: RecordedRequest) -> Answer:
        """Return the answer to a request."""
        self.log.append(request)
        status, headers, body = self._stored(request)
        answer = Answer(url=self.url + request.path, query=request.query, status=status, headers=headers, body=body)
        return answer if self._change is None else self._change(request, answer)

    def _stored(self, request: RecordedRequest) -> tuple[int, Mapping[str, str], bytes]:
        status = self._failure_status(request) if self._failure_status else None
        if status is not None:
            return status, {}, b"injected failure"
        if request.path not in self._files:
            return 404, {}, b"no such file"
        data, headers = self._files[request.path]
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if request.headers.get("if-match", headers["ETag"]) != headers["ETag"]:
            return 412, headers, b""
        if not match or request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
            return 200, headers, data
        start, stop = int(match[1]), min(int(match[2] or len(data)) + 1, len(data))
        if start >= len(data):
            return 416, {**headers, "Content-Range": f"bytes */{len(data)}"}, b""
        return 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop]


class _Handler(Handler):
    owner: FileServer

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = RecordedRequest(method=self.command, path=unquote(parts.path), query=parts.query, headers=headers)
        self.body()
        answer = self.owner.answer(request)
        self.send_response(answer.status)
        length = len(answer.body) if answer.length is None else answer.length
        self.close_connection = self.close_connection or length > len(answer.body)
        for name, value in {**answer.headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = _serve  # noqa: N815 - names that the base class calls
