"""The Hugging Face Hub through its own client library, over the transport of the run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.api.transport import Transport
from filtercrawl.config import hide_tokens, hub_endpoint, remember_token, token_values

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

    from filtercrawl.transport.server_clock import ServerClock

# Messages of `translate_hub_errors` for a repository that requires access, and for one that does not exist for us.
GATED: Final = "gated, and access is not granted; request access on the repository's page and set a token"
MISSING: Final = "not on the Hub, or private"
# Characters of a server's message that are passed on, at most.
_MAX_MESSAGE: Final = 200


def api(transport: Transport, endpoint: str | None = None) -> HfApi:
    """Return the Hub's client, every request of which goes through `transport.client`.

    The client finds its token itself, also where `hf auth login` left it. huggingface_hub has one HTTP client for the
    process, so that the last transport given here is used by all.

    Args:
        transport: The transport of the run.
        endpoint: URL of the Hub; by default that of the environment.
    """
    import huggingface_hub  # slow to import, and most runs need no Hub

    remember_token(huggingface_hub.get_token())
    endpoint = (endpoint or hub_endpoint()).rstrip("/")
    apply_default_timeouts(transport.client)
    _watch_clock(transport.client, endpoint)
    huggingface_hub.set_client_factory(lambda: transport.client)
    return huggingface_hub.HfApi(
        endpoint=endpoint,
        library_name="filtercrawl",
        library_version=version("filtercrawl"),
    )


@contextmanager
def restored_hub_client() -> Iterator[None]:
    """Restore huggingface_hub's HTTP client factory, which a source may replace by the transport of the run."""
    before = _client_factory()
    try:
        yield
    finally:
        http = sys.modules.get("huggingface_hub.utils._http")
        if http is not None and _client_factory() is not before:
            http.set_client_factory(before or http.default_client_factory)


def _client_factory() -> object:
    """Return the factory in use, None if huggingface_hub is not imported: it takes a while, and most runs need none."""
    return getattr(sys.modules.get("huggingface_hub.utils._http"), "_GLOBAL_CLIENT_FACTORY", None)


def uses_xet() -> bool:
    """Tell whether the client uploads large files with Xet."""
    from huggingface_hub import constants

    return not constants.HF_HUB_DISABLE_XET and find_spec("hf_xet") is not None


def apply_default_timeouts(client: httpx2.Client) -> None:
    """Give the timeouts of a client to requests without any: huggingface_hub would wait forever."""
    hooks = client.event_hooks
    if not any(isinstance(hook, _Timeouts) for hook in hooks["request"]):
        client.event_hooks = {**hooks, "request": [*hooks["request"], _Timeouts(client.timeout)]}


def clock_error(transport: Transport) -> timedelta | None:
    """Return how far the clock of this machine is ahead of the Hub's, by the last response; None if it has not said."""
    clock = _server_clock(transport.client)
    return None if clock is None else clock.error


def _watch_clock(client: httpx2.Client, endpoint: str) -> None:
    from filtercrawl.transport.server_clock import ServerClock  # imports the HTTP library

    if _server_clock(client) is None:
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks["response"], ServerClock(endpoint)]}


def _server_clock(client: httpx2.Client) -> ServerClock | None:
    from filtercrawl.transport.server_clock import ServerClock  # imports the HTTP library

    return next((hook for hook in client.event_hooks["response"] if isinstance(hook, ServerClock)), None)


class _Timeouts:
    """Request hook that adds the timeouts a request does not set."""

    def __init__(self, default: httpx2.Timeout) -> None:
        self._default = default.as_dict()

    def __call__(self, request: httpx2.Request) -> None:
        requested = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = self._default | {name: s for name, s in requested.items() if s is not None}


@contextmanager
def translate_hub_errors(what: str) -> Iterator[None]:
    """Turn errors of the Hub's client into errors of this project, in one line that starts with `what`.

    Raises:
        AccessDeniedError: The repository is gated or disabled, or the token does not allow the request.
        NotFoundError: The repository, revision or file does not exist, or is private.
        NetworkError: Any other error of the client or the connection.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise AccessDeniedError(f"{what}: {GATED}") from error
    except errors.DisabledRepoError as error:
        raise AccessDeniedError(f"{what}: disabled by the Hub") from error
    except errors.LocalEntryNotFoundError as error:
        raise NetworkError(f"{what}: the Hub cannot be reached, and the file is not in the cache") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise NotFoundError(f"{what}: {MISSING}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        kind = AccessDeniedError if status in (401, 403) else NotFoundError if status in (404, 410) else NetworkError
        raise kind(f"{what}: the Hub responded with HTTP {status}{_reason(error.server_message)}") from error
    except errors.HFValidationError as error:
        raise NotFoundError(f"{what}: not a valid repository name") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, errors.OfflineModeIsEnabled, OSError) as error:
        raise NetworkError(f"{what}: {error or type(error).__name__}") from error


def _reason(message: str | None) -> str:
    """Return the Hub's own message as the end of a line, cut and without control characters and tokens."""
    text = "".join(c for c in " ".join((message or "").split()) if c.isprintable())
    text = hide_tokens(text, token_values())
    return f": {text[:_MAX_MESSAGE]}" if text else ""
