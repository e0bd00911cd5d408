"""Revision of a file at a plain URL: the hash in its name, or what one HEAD request states."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from filtercrawl.config.urls import redact_url
from filtercrawl.transport.responses import map_http_errors, raise_for_status

if TYPE_CHECKING:
    from filtercrawl.api.transport import Transport

_HASH: Final = re.compile(r"[-_]([0-9a-f]{8,64})\.[a-z.]+$")


def hash_from_url(url: str) -> str | None:
    """Return the hash in the file name of a URL: `f37072fd` for `.../resnet18-f37072fd.pth`.

    torch.hub's convention: the first 8 to 64 hexadecimal digits of the file's sha256. A new file gets a new name, so
    the hash serves as the revision.

    Returns:
        Lower-case hexadecimal digits, or None if the name contains no such hash.
    """
    match = _HASH.search(urlsplit(url).path.rpartition("/")[2])
    return match[1] if match else None


def fetch_etag(transport: Transport, url: str) -> str | None:
    """Return the version of a remote file as its server states it; sends one HEAD request.

    Returns:
        The ETag, or `Last-Modified Content-Length` if there is none, or None if the server states neither.

    Raises:
        NetworkError: The server cannot be reached or refuses.
    """
    where = redact_url(url)
    with map_http_errors(where):
        response = transport.client.head(url)
    raise_for_status(response, where)
    if etag := response.headers.get("ETag"):
        return str(etag)
    last_modified, length = (response.headers.get(name, "") for name in ("Last-Modified", "Content-Length"))
    return f"{last_modified} {length}" if last_modified else None
