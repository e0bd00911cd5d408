"""The ETag of a file on the web, asked with one HEAD."""

from __future__ import annotations

from filtercrawl.api.transport import Transport
from filtercrawl.config.urls import redact_url
from filtercrawl.transport.responses import map_http_errors, raise_for_status


def fetch_etag(transport: Transport, url: str) -> str | None:
    """Return what a server states about the version of a file: its ETag, else date and length; None if it says nothing.

    Raises NetworkError.
    """
    where = redact_url(url)
    with map_http_errors(where):
        answer = transport.client.head(url)
    raise_for_status(answer, where)
    if tag := answer.headers.get("ETag"):
        return str(tag)
    stated = [answer.headers.get(name, "") for name in ("Last-Modified", "Content-Length")]
    return " ".join(stated) if stated[0] else None
