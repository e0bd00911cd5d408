"""What the headers of an answer to a request for a range promise, believed in nothing."""

from __future__ import annotations

import re
from typing import Final

import httpx2

_SPAN: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_NOTHING: Final = re.compile(r"bytes \*/(\d{1,18})")
_SHA256: Final = re.compile(r'"?([0-9a-f]{64})"?')


class InvalidResponseError(Exception):
    """An answer that is not what was asked for; another try may bring a better one."""


def check_identity_encoding(answer: httpx2.Response) -> None:
    """Raise SpoiledError for a body that is not the file's own bytes."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise InvalidResponseError(f"the bytes come compressed ({encoding})")
    if answer.headers.get("Content-Type", "").lower().startswith("multipart/"):
        raise InvalidResponseError("the bytes come in several parts")


def parse_content_range(answer: httpx2.Response, at: int, stop: int) -> tuple[int, str]:
    """Return where the body of a 206 ends in the file, and the file's length as told, "*" where it is not.

    Raises SpoiledError unless the body begins at `at` and ends at `stop` or before.
    """
    told = answer.headers.get("Content-Range", "")
    match = _SPAN.fullmatch(told)
    if match is None or int(match[1]) != at or int(match[2]) >= stop:
        raise InvalidResponseError(f"Content-Range {told!r} is not what was asked for")
    if int(match[2]) < at:
        raise InvalidResponseError(f"Content-Range {told!r} ends before it begins")
    return int(match[2]) + 1, match[3]


def length_from_unsatisfied_range(answer: httpx2.Response) -> str:
    """Return the length of a file that ends before what was asked for (416), as text; raises SpoiledError."""
    match = _NOTHING.fullmatch(answer.headers.get("Content-Range", ""))
    if match is None:
        raise InvalidResponseError("HTTP 416")
    return match[1]


def linked_sha256(answer: httpx2.Response) -> str | None:
    """Return the sha256 by which the Hub names a large file, in the answer or in a redirect on the way to it."""
    for told in (answer, *answer.history):
        match = _SHA256.fullmatch(told.headers.get("X-Linked-Etag", ""))
        if match is not None:
            return match[1]
    return None
