"""Values from the environment that are not settings: tokens, addresses, folders, the clock and proxies."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import UsageError

HUB: Final = "https://huggingface.co"
_HIDDEN: Final = "(hidden)"
# Shorter values would be found inside ordinary words; no service has such tokens.
_SHORTEST_TOKEN: Final = 4


def is_set(variable: str) -> bool:
    """Return whether an environment variable has a value, which may be a secret."""
    return bool(os.environ.get(variable, "").strip())


def now() -> datetime:
    """Return the current time in UTC, or that of `SOURCE_DATE_EPOCH` for reproducible builds.

    Raises:
        UsageError: `SOURCE_DATE_EPOCH` is not a number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH: {epoch!r} is not a number of seconds") from error


def cache_home() -> Path:
    """Return the folder of the cache: `filtercrawl` below `XDG_CACHE_HOME`, by default `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "filtercrawl"


def hub_endpoint() -> str:
    """Return the URL of the Hugging Face Hub, or of its replacement in `HF_ENDPOINT`, without a slash at its end."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


# Tokens that this process has read, so that they can be kept out of everything that it shows.
_tokens_read: Final[set[str]] = set()


def token_values() -> frozenset[str]:
    """Return the tokens in use: those that `secret` has returned or a library has read, and that of the Hub."""
    hub_token = os.environ.get("HF_TOKEN", "").strip()
    return frozenset(_tokens_read | {hub_token} - {""})


def remember_token(token: str | None) -> None:
    """Keep a token that a library has found by itself out of everything that is shown, too."""
    if token:
        _tokens_read.add(token)


def hide_tokens(text: str, tokens: Iterable[str]) -> str:
    """Return a text without tokens."""
    for token in sorted(tokens, key=len, reverse=True):  # one may begin like another
        if len(token) >= _SHORTEST_TOKEN:
            text = text.replace(token, _HIDDEN)
    return text


def secret(variable: str) -> str:
    """Return the token in an environment variable.

    Raises:
        UsageError: The variable is not set or holds no token; the text never shows its value.
    """
    token = os.environ.get(variable, "").strip()
    if not token:
        raise UsageError(f"the environment variable {variable} is named as a token, but it is not set")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(
            f"the environment variable {variable} holds no token: a token is printable ASCII without spaces"
        )
    _tokens_read.add(token)
    return token


def step_summary() -> Path | None:
    """Return the file for the Markdown summary of a step in GitHub Actions, None elsewhere."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(path) if path else None


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a command that is run for the user, with more variables."""
    return {**os.environ, **more}


def proxy(scheme: str, netloc: str) -> str | None:
    """Return the URL of the proxy for a host, None for a direct connection."""
    if urllib.request.proxy_bypass(netloc):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    return found if found is None or "://" in found else f"http://{found}"


def ray_address() -> str | None:
    """Return the address of the Ray cluster that the environment names, as Ray's own tools read it."""
    return os.environ.get("RAY_ADDRESS") or None


def prepare_ray() -> None:
    """Set what Ray reads when it is imported, unless the user has set it.

    A cluster that this process starts sends no usage report, and Ray prints no notes on the workers that are lost: they
    would stand between the lines of `--json`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
