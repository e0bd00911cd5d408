"""Byte ranges of a file behind a redirect, as the Hub serves its files, over connections that fail."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.testing.loopback_server import Loopback
from filtercrawl_analysis.explorer.page import page_files

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed; the browser tests remain")

CONTENT = bytes(place * 7 % 251 for place in range(400_000))
BLOCK = 1 << 16

Read = Callable[[int, int], bytes]


class Storage(BaseHTTPRequestHandler):
    """Redirects `/file` to an address that holds for a while; other addresses are answered by closing the connection.

    Attributes:
        address: The address that holds now.
        cut: How many of the next answers end in the middle.
        asked: Paths of requests for bytes.
    """

    protocol_version = "HTTP/1.1"
    address = "/storage/0"
    cut = 0
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(b"", len(CONTENT))

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/file":
            self.send_response(302)
            self.send_header("Location", self.address)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path != self.address:
            self.close_connection = True
            return
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self._answer(CONTENT[first : last + 1], last + 1 - first, f"bytes {first}-{last}/{len(CONTENT)}")

    def _answer(self, body: bytes, length: int, range_: str | None = None) -> None:
        self.send_response(200 if range_ is None else 206)
        self.send_header("Content-Length", str(length))
        if range_ is not None:
            self.send_header("Content-Range", range_)
        self.end_headers()
        if body and type(self).cut:
            type(self).cut -= 1
            self.close_connection = True
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def storage() -> Iterator[tuple[type[Storage], Read]]:
    handler: Any = type("Handler", (Storage,), {"asked": []})
    modules = page_files()["js/main.js"].parent
    with Loopback(handler) as server:
        command = ["node", str(Path(__file__).with_name("read_ranges.mjs")), str(modules), f"{server.url}/file"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None

            def read(start: int, end: int) -> bytes:
                process.stdin.write(json.dumps([start, end]) + "\n")
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
                assert "error" not in answer, answer["error"]
                return bytes(answer["result"])

            yield handler, read
            process.stdin.close()


def test_the_address_that_a_file_is_redirected_to_is_asked_for_again_when_it_no_longer_holds(
    storage: tuple[type[Storage], Read],
) -> None:
    handler, read = storage
    assert read(10, 20) == CONTENT[10:20]
    assert read(2 * BLOCK - 5, 2 * BLOCK + 5) == CONTENT[2 * BLOCK - 5 : 2 * BLOCK + 5]
    assert handler.asked == ["/file", "/storage/0", "/storage/0"]
    handler.address = "/storage/1"
    assert read(4 * BLOCK, 4 * BLOCK + 9) == CONTENT[4 * BLOCK : 4 * BLOCK + 9]
    assert handler.asked[-2:] == ["/file", "/storage/1"]


def test_an_answer_that_ends_in_the_middle_is_asked_for_again(storage: tuple[type[Storage], Read]) -> None:
    handler, read = storage
    handler.cut = 1
    assert read(0, BLOCK) == CONTENT[:BLOCK]
    assert len(handler.asked) == 4
