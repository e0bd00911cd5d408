"""URLs: their origin, their redaction for messages, and mirrors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from filtercrawl.api.errors import UsageError

_PORTS = {"http": 80, "https": 443}
# Without the punctuation that may follow a URL in a sentence.
_URL_IN_TEXT = re.compile(r"https?://[^\s'\"<>]*[^\s'\"<>.,:;)\]]")


def origin(url: str) -> str:
    """Return `scheme://host[:port]` of a URL in lower case, without a default port.

    Raises:
        UsageError: It is not an http or https URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{redact_url(url)!r} is not a URL: {error}") from error
    if parts.scheme not in _PORTS or not host:
        raise UsageError(f"{redact_url(url)!r} is not an http or https URL")
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def redact_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, which may hold secrets."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = bare.partition("://")
    if not mark:
        return bare
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def redact_urls(text: str) -> str:
    """Return a text with every http and https URL in it redacted."""
    return _URL_IN_TEXT.sub(lambda match: redact_url(match[0]), text)


def apply_mirrors(url: str, mirrors: Mapping[str, str]) -> str:
    """Return a URL with the longest prefix that has a mirror replaced by it."""
    best = max((prefix for prefix in mirrors if url.startswith(prefix)), key=len, default=None)
    return url if best is None else mirrors[best] + url[len(best) :]
