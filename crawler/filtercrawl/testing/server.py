"""A small HTTP server on loopback: files by range, JSON, and a day when nothing works."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it arrived. path: decoded, without the query. headers: names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


class FileServer:
    """Serves what it is given at `url`. Use as a context manager; `log` says what was asked.

    The query of a request is not looked at, so that addresses may be signed.
    """

    def __init__(self, port: int = 0) -> None:
        """port: 0 for any that is free."""
        self.log: list[Asked] = []
        self._files: dict[str, tuple[bytes, dict[str, str]]] = {}
        self._trouble: Callable[[Asked], int | None] | None = None
        self._server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, path: str, data: bytes, headers: Mapping[str, str] | None = None) -> str:
        """Serve bytes at a path, with a strong ETag of the content; returns the URL."""
        etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        kind = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": etag}
        self._files[path] = (data, kind | dict(headers or {}))
        return self.url + path

    def json(self, path: str, value: Any, headers: Mapping[str, str] | None = None) -> str:
        """Serve a JSON value; returns the URL."""
        return self.put(path, json.dumps(value).encode(), {"Content-Type": "application/json"} | dict(headers or {}))

    def remove(self, path: str) -> None:
        """Answer 404 from now on."""
        self._files.pop(path, None)

    def trouble(self, status: Callable[[Asked], int | None] | None) -> None:
        """Answer requests for which this gives a status with that status, and others as ever; None ends it."""
        self._trouble = status

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, asked: Asked) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body."""
        self.log.append(asked)
        status = self._trouble(asked) if self._trouble else None
        if status is not None:
            return status, {}, b"trouble"
        if asked.path not in self._files:
            return 404, {}, b"no such file"
        data, headers = self._files[asked.path]
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
        if asked.headers.get("if-match", headers["ETag"]) != headers["ETag"]:
            return 412, headers, b""
        if not match or asked.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
            return 200, headers, data
        start, stop = int(match[1]), min(int(match[2] or len(data)) + 1, len(data))
        if start >= len(data):
            return 416, {**headers, "Content-Range": f"bytes */{len(data)}"}, b""
        return 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop]


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may hang up; nobody need know."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: FileServer

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(method=self.command, path=unquote(parts.path), query=parts.query, headers=headers)
        self.rfile.read(int(headers.get("content-length") or 0))
        status, sent, body = self.owner.answer(asked)
        self.send_response(status)
        for name, value in {**sent, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = _serve  # noqa: N815 - the base class asks for these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
