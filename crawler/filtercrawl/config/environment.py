"""What the environment says: tokens, addresses, folders, the clock, proxies."""

from __future__ import annotations

import os
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import UsageError

HUB: Final = "https://huggingface.co"


def is_set(variable: str) -> bool:
    """Tell whether an environment variable holds anything; what it holds may be a secret."""
    return bool(os.environ.get(variable, "").strip())


def now() -> datetime:
    """The time of this run in UTC; `SOURCE_DATE_EPOCH` fixes it where builds must be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH: {epoch!r} is not a number of seconds") from error


def cache_home() -> Path:
    """The folder for what may be fetched again: `XDG_CACHE_HOME/filtercrawl`, by default below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "filtercrawl"


def hub_endpoint() -> str:
    """The address of the Hugging Face Hub, which `HF_ENDPOINT` may move; no slash at its end."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


# Tokens that this process has read, so that they can be kept out of everything that it shows.
_tokens_read: Final[set[str]] = set()


def token_values() -> frozenset[str]:
    """Return the tokens in use: those that `secret` has returned, and that of the Hub."""
    hub_token = os.environ.get("HF_TOKEN", "").strip()
    return frozenset(_tokens_read | {hub_token} - {""})


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
    """The file in which GitHub Actions wants Markdown about a step, None elsewhere."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(path) if path else None


def environment(**more: str) -> dict[str, str]:
    """Return what a command that is run for the user finds in its environment."""
    return {**os.environ, **more}


def proxy(scheme: str, netloc: str) -> str | None:
    """Return the proxy that the environment names for a host, None where it is asked directly."""
    if urllib.request.proxy_bypass(netloc):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    return found if found is None or "://" in found else f"http://{found}"
