"""Range and conditional requests (RFC 9110) for one file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, kw_only=True)
class FileAnswer:
    """What to send of a file.

    Attributes:
        status: 200, 206, 304 or 416.
        start: First byte to send.
        stop: The byte after the last one.
        headers: Headers that follow from the request.
    """

    status: HTTPStatus
    start: int
    stop: int
    headers: Mapping[str, str]


def answer_request(headers: Mapping[str, str], size: int, etag: str) -> FileAnswer:
    """Return what a request gets of a file.

    Several ranges at once, and ranges that are not understood, get the whole file, as the standard allows.

    Args:
        headers: Headers of the request, each word of a name with a capital.
        size: Bytes of the file.
        etag: Its strong ETag, quoted.
    """
    common = {"ETag": etag, "Accept-Ranges": "bytes"}
    known = [tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")]
    if etag in known or "*" in known:
        return FileAnswer(status=HTTPStatus.NOT_MODIFIED, start=0, stop=0, headers=common)
    found = _RANGE.fullmatch(headers.get("Range", "").strip())
    whole = FileAnswer(status=HTTPStatus.OK, start=0, stop=size, headers=common)
    if found is None or found[0] == "bytes=-" or headers.get("If-Range", etag) != etag:
        return whole
    if found[1] and found[2] and int(found[2]) < int(found[1]):
        return whole
    if found[1]:
        start, stop = int(found[1]), min(int(found[2] or size) + 1, size)
    else:
        start, stop = max(size - int(found[2]), 0), size
    if start >= size or start >= stop:
        refused = {**common, "Content-Range": f"bytes */{size}"}
        return FileAnswer(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, start=0, stop=0, headers=refused)
    sent = {**common, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return FileAnswer(status=HTTPStatus.PARTIAL_CONTENT, start=start, stop=stop, headers=sent)
