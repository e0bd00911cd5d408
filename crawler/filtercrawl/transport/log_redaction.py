"""Keep credentials in URLs out of the log lines of the HTTP library."""

from __future__ import annotations

import logging
from typing import Final

from filtercrawl.config.urls import redact_urls

# httpx2 logs every URL at INFO, httpcore2 the headers of every response at DEBUG, such as the Location of a redirect.
_LOGGERS: Final = ("httpx2", *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))


class UrlRedaction(logging.Filter):
    """Redacts the URLs in a log record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the message; every record is kept."""
        record.msg, record.args = redact_urls(record.getMessage()), ()
        return True


_FILTER: Final = UrlRedaction()


def redact_http_logs() -> None:
    """Redact the URLs that the HTTP library logs in this process, query and user information included."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # added once, however often this is called
