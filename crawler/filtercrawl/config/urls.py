"""Addresses on the network: their origin, what of them may be shown, and where mirrors keep them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from filtercrawl.api.errors import UsageError

_PORTS = {"http": 80, "https": 443}
# Without the punctuation that may follow a URL in a sentence.
_URL_IN_TEXT = re.compile(r"https?://[^\s'\"<>]*[^\s'\"<>.,:;)\]]")


def origin(url: str) -> str:
    """Return `scheme://host[:port]` in lower case, a default port left out; raises UsageError where there is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{redact_url(url)!r} is no URL: {error}") from error
    if parts.scheme not in _PORTS or not host:
        raise UsageError(f"{redact_url(url)!r} is no http or https URL")
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def redact_url(url: str) -> str:
    """Return a URL as messages may show it: without user, password, query and fragment."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, mark, rest = bare.partition("://")
    if not mark:
        return bare
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def redact_urls(text: str) -> str:
    """Return a text in which every URL is redacted."""
    return _URL_IN_TEXT.sub(lambda match: redact_url(match[0]), text)


def apply_mirrors(url: str, mirrors: Mapping[str, str]) -> str:
    """Return where a URL is to be asked for: the longest prefix that a mirror serves is replaced."""
    best = max((prefix for prefix in mirrors if url.startswith(prefix)), key=len, default=None)
    return url if best is None else mirrors[best] + url[len(best) :]
