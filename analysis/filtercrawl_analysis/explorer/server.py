"""The local server of the page: loopback only, and only what the page needs."""

from __future__ import annotations

import json
import mimetypes
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from filtercrawl.api.errors import FiltercrawlError, UsageError
from filtercrawl_analysis.explorer.byte_ranges import answer_request
from filtercrawl_analysis.explorer.page import CONFIG, PageConfig, index_html, is_read, page_files

# Where the dataset folder is below the page.
DATASET: Final = "dataset/"
_CHUNK: Final = 1 << 20
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".html": "text/html; charset=utf-8"}
_MAX_NEIGHBORS: Final = 1000
_NUMBER: Final = re.compile("[0-9]{1,4}")
# The browser enforces these; the page's own policy stands in its head.
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# Answers `api/similar` by its query: id, k, metric and invariant.
Search = Callable[[str, int, str, list[str]], Mapping[str, Any]]


class ExplorerServer:
    """Serves the page at `url` within its context.

    Requests that name another host are refused: a page of another origin could otherwise read the dataset by pointing
    its own name at this machine (DNS rebinding).
    """

    def __init__(
        self, config: Callable[[], PageConfig], *, root: Path | None = None, search: Search | None = None, port: int = 0
    ) -> None:
        """Open a socket on the loopback interface.

        Args:
            config: Returns what the page is told, for each load of the page.
            root: The dataset folder; None where the page reads a repository.
            search: Finds neighbors.
            port: The port; 0 for any that is free.

        Raises:
            UsageError: The port cannot be had.
        """
        self.config = config
        self.root = root.resolve() if root else None
        self._places = _places_of_files(self.root) if self.root else ()
        self.search = search
        self.files = page_files()
        # One search at a time: each uses all cores.
        self.search_lock = threading.Lock()
        try:
            self._server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"owner": self}))
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port}: cannot be used ({error}); leave --port out for a free one") from error
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def find(self, path: str) -> Path | None:
        """Return the file for a path below the address of the page; None if there is none that may be read."""
        if not path.startswith(DATASET):
            return self.files.get(path)
        if self.root is None or not is_read(path.removeprefix(DATASET)):
            return None
        # The folder may hold links to elsewhere.
        try:
            file = (self.root / path.removeprefix(DATASET)).resolve()
            return file if file.is_file() and any(map(file.is_relative_to, self._places)) else None
        except (OSError, ValueError):  # no file can have such a name
            return None


def _places_of_files(root: Path) -> tuple[Path, ...]:
    """Return the folders in which files of a dataset may be: of one in the cache of the Hub, files are links."""
    return (root, root.parents[1] / "blobs") if root.parent.name == "snapshots" else (root,)


def own_hosts(port: int) -> tuple[str, ...]:
    """Return what requests for the page name as their host; browsers leave out the port 80."""
    names = ("127.0.0.1", "localhost")
    return (*(f"{name}:{port}" for name in names), *(names if port == 80 else ()))


class _Handler(BaseHTTPRequestHandler):
    owner: ExplorerServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if not self._is_own_origin():
            self._send_json({"error": "another origin"}, HTTPStatus.FORBIDDEN)
            return
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/")
        try:
            if path == CONFIG:
                self._send(self.owner.config().to_json().encode(), "application/json")
            elif path in ("", "index.html"):
                self._send(index_html(self.owner.config()).encode(), _TYPES[".html"])
            elif path == "api/capabilities":
                self._send_json(self.owner.config().capabilities())
            elif path == "api/similar" and self.owner.search is not None:
                self._send_json(self._similar(parse_qs(parts.query)))
            elif file := self.owner.find(path):
                self._send_file(file)
            else:
                self._send_json({"error": "no such file"}, HTTPStatus.NOT_FOUND)
        except FileNotFoundError:  # deleted meanwhile
            self._send_json({"error": "no such file"}, HTTPStatus.NOT_FOUND)
        except PermissionError as error:
            self._send_json({"error": f"{error.filename}: may not be read"}, HTTPStatus.FORBIDDEN)
        except FiltercrawlError as error:
            usage = isinstance(error, UsageError)
            status = HTTPStatus.BAD_REQUEST if usage else HTTPStatus.INTERNAL_SERVER_ERROR
            self._send_json({"error": str(error)}, status)

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def _is_own_origin(self) -> bool:
        hosts = own_hosts(self.owner.port)
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in hosts and (origin is None or origin in [f"http://{host}" for host in hosts])

    def _similar(self, query: Mapping[str, list[str]]) -> Mapping[str, Any]:
        """Return the neighbors of the kernel that a query names.

        Raises:
            UsageError: The query is not understood.
        """
        if len(query.get("id", [])) != 1:
            raise UsageError("id: the id of one kernel is needed")
        number = query.get("k", ["12"])[0]
        if not _NUMBER.fullmatch(number) or not 1 <= int(number) <= _MAX_NEIGHBORS:
            raise UsageError(f"k: a number from 1 to {_MAX_NEIGHBORS} is needed, not {number!r}")
        assert self.owner.search is not None
        with self.owner.search_lock:
            metric = query.get("metric", ["cosine"])[0]
            return self.owner.search(query["id"][0], int(number), metric, query.get("invariant", []))

    def _send_json(self, content: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(content).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send_head(status, {"Content-Type": kind, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            # Of the open file: it may be replaced at any time.
            stat = os.fstat(file.fileno())
            sent = {name.title(): value for name, value in self.headers.items()}
            answer = answer_request(sent, stat.st_size, f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"')
            kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            length = (
                {} if answer.status == HTTPStatus.NOT_MODIFIED else {"Content-Length": str(answer.stop - answer.start)}
            )
            self._send_head(answer.status, {"Content-Type": kind, **answer.headers, **length})
            if self.command == "HEAD":
                return
            file.seek(answer.start)
            left = answer.stop - answer.start
            while left and (data := file.read(min(left, _CHUNK))):
                self.wfile.write(data)
                left -= len(data)
            if left:
                self.close_connection = True

    def _send_head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a browser hangs up when a page is left
            super().handle_error(request, client_address)
