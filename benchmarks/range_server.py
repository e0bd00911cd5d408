"""A file server on loopback in a process of its own, with the latency and the bandwidth of a far one.

`with RangeServer(folder) as server:` then `server.shape(latency=0.02, bandwidth=50e6)`; `server.log()` says which bytes
were asked for and how many were sent.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import unquote, urlsplit

_CHUNK: Final = 32 * 1024
# What a late sleeper may catch up with: more would be a burst, less would lose bandwidth on a busy machine.
_CATCH_UP: Final = 0.02
# Small, so that what is sent to a client that hangs up is little more than what it took.
_SEND_BUFFER: Final = 256 * 1024
_LARGEST_HEAD: Final = 64 * 1024
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


class Served(NamedTuple):
    """One request: the bytes of the file that were asked for, and how many of them were sent."""

    method: str
    path: str
    status: int
    start: int
    stop: int
    sent: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """latency: seconds before each answer. bandwidth: bytes a second of all connections together, None for no bound."""

    latency: float = 0.0
    bandwidth: float | None = None


class RangeServer:
    """Serves the files below a folder, a thread a connection. Use as a context manager; it ends with its parent.

    A query in an address is ignored, so that one file can go by many names.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = str(self._answer())

    def log(self) -> list[Served]:
        """Return the requests since `forget`, in the order in which they ended; waits for those under way."""
        return [Served(*row) for row in self._call("log")]

    def forget(self) -> None:
        """Begin a new log."""
        self._call("forget")

    def shape(self, *, latency: float = 0.0, bandwidth: float | None = None) -> None:
        """Answer `latency` seconds late from now on, and send `bandwidth` bytes a second at most."""
        self._call("shape", **asdict(Shape(latency=latency, bandwidth=bandwidth)))

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate()  # closes its input, which ends it

    def _call(self, what: str, **values: float | None) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps([what, values]) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the file server ended with code {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Line:
    """The one line to the world that all connections share: first come, first served, a chunk at a time.

    A line that lies idle saves nothing up.
    """

    def __init__(self) -> None:
        self.shape = Shape()
        self._free = 0.0
        self._busy = 0
        self._lock = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[None]:
        with self._lock:
            if not self._busy:
                self._free = time.monotonic()
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def wait(self, length: int) -> None:
        """Return when so many bytes have come through."""
        with self._lock:
            if not self.shape.bandwidth:
                return
            now = time.monotonic()
            self._free = max(self._free, now - _CATCH_UP) + length / self.shape.bandwidth
            left = self._free - now
        if left > 0:
            time.sleep(left)


class Journal:
    """What was asked, and how many requests are under way."""

    def __init__(self) -> None:
        self._served: list[Served] = []
        self._open = 0
        self._changed = threading.Condition()

    def begin(self) -> None:
        with self._changed:
            self._open += 1

    def end(self, served: Served | None) -> None:
        with self._changed:
            self._open -= 1
            if served is not None:
                self._served.append(served)
            self._changed.notify_all()

    def read(self) -> list[Served]:
        """Wait for requests under way: a client has its bytes before the server has noted them."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, timeout=5)
            return list(self._served)

    def forget(self) -> None:
        self.read()
        with self._changed:
            self._served.clear()


class _Connection:
    """One client: requests one after the other until it hangs up."""

    def __init__(self, client: socket.socket, folder: Path, line: Line, journal: Journal) -> None:
        self._client, self._folder, self._line, self._journal = client, folder, line, journal
        self._sent = 0

    def serve(self) -> None:
        rest = b""
        with self._client, suppress(ConnectionError):
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                while b"\r\n\r\n" not in rest:
                    more = self._client.recv(_LARGEST_HEAD)
                    if not more or len(rest) > _LARGEST_HEAD:
                        return
                    rest += more
                head, _, rest = rest.partition(b"\r\n\r\n")
                self._request(head.decode("latin-1"))

    def _request(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path = re.sub(r"^copies/\d+/", "", unquote(urlsplit(target).path).lstrip("/"))  # one file at many addresses
        self._sent = 0
        self._journal.begin()
        served = None
        try:
            if self._line.shape.latency:
                time.sleep(self._line.shape.latency)
            served = self._file(method, path, headers)
        finally:
            self._journal.end(served and served._replace(sent=self._sent))

    def _file(self, method: str, path: str, headers: dict[str, str]) -> Served:
        """Answer, and say what; a client that hangs up is no reason to say nothing."""
        try:
            if method not in ("GET", "HEAD") or ".." in path.split("/"):
                raise FileNotFoundError
            file = os.open(self._folder / path, os.O_RDONLY)
        except OSError:
            self._head(404, "Not Found", {"Content-Length": "0"})
            return Served(method, path, 404, 0, 0, 0)
        try:
            status = os.fstat(file)
            size, tag = status.st_size, f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
            span = _span(headers.get("range", ""), size) if headers.get("if-range", tag) == tag else None
            about = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
            if span is not None and span[0] >= span[1]:
                self._head(416, "Range Not Satisfiable", about | {"Content-Range": f"bytes */{size}"})
                return Served(method, path, 416, 0, 0, 0)
            start, stop = span or (0, size)
            about["Content-Length"] = str(stop - start)
            if span is not None:
                about["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            served = Served(method, path, 200 if span is None else 206, start, stop, 0)
            with suppress(ConnectionError):  # the next `recv` will see it too
                self._head(served.status, "OK" if span is None else "Partial Content", about)
                if method == "GET":
                    self._body(file, start, stop)
            return served
        finally:
            os.close(file)

    def _head(self, status: int, reason: str, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        if status == 416:
            lines.append("Content-Length: 0")
        self._client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def _body(self, file: int, start: int, stop: int) -> None:
        with self._line.use():
            while start < stop:
                length = min(_CHUNK if self._line.shape.bandwidth else stop - start, stop - start)
                self._line.wait(length)
                end = start + length
                while start < end:
                    came = os.sendfile(self._client.fileno(), file, start, end - start)
                    if not came:
                        raise ConnectionError("the file became shorter")
                    start += came
                    self._sent += came


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Return (start, stop) of a Range header, None for one to be ignored; stop <= start where nothing lies there."""
    match = _RANGE.fullmatch(asked)
    if match is None or asked == "bytes=-":
        return None
    if not match[1]:
        return max(size - int(match[2]), 0), size
    return int(match[1]), min(int(match[2] or size) + 1, size)


def _serve(folder: Path) -> None:
    """Obey the lines of the standard input until it ends: with the parent, whatever ended that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line, journal = Line(), Journal()
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def accept() -> None:
        while True:
            connection = _Connection(listening.accept()[0], folder, line, journal)
            threading.Thread(target=connection.serve, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    _say(f"http://127.0.0.1:{listening.getsockname()[1]}")
    for text in sys.stdin:
        what, values = json.loads(text)
        if what == "shape":
            line.shape = Shape(**values)
        if what == "forget":
            journal.forget()
        _say(journal.read() if what == "log" else None)
    os._exit(0)  # no thread is waited for


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
