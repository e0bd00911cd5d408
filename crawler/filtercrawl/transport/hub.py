"""The one door to the Hugging Face Hub: its own client library, over the transport of the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.api.transport import Transport
from filtercrawl.config import hub_endpoint

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

# What `translate_hub_errors` says of a repo to which the token, if any, gives no access, and of one that it cannot see.
GATED: Final = "gated, and access is not granted; ask for it on the repo's page and set a token"
MISSING: Final = "not on the Hub, or private"
# Characters of an answer that are passed on, at most.
_WORDS: Final = 200


def api(transport: Transport, endpoint: str | None = None) -> HfApi:
    """Return the Hub's client, every request of which goes through `transport.client`.

    endpoint: by default that of the environment. The client finds its token itself. huggingface_hub knows one HTTP
    client a process, so the last transport given is the one in use.
    """
    import huggingface_hub  # takes a while, and most runs need none

    apply_default_timeouts(transport.client)
    huggingface_hub.set_client_factory(lambda: transport.client)
    return huggingface_hub.HfApi(
        endpoint=(endpoint or hub_endpoint()).rstrip("/"),
        library_name="filtercrawl",
        library_version=version("filtercrawl"),
    )


def uses_xet() -> bool:
    """Tell whether the client sends large files by Xet."""
    from huggingface_hub import constants

    return not constants.HF_HUB_DISABLE_XET and find_spec("hf_xet") is not None


def apply_default_timeouts(client: httpx2.Client) -> None:
    """Give the client's own timeouts to requests that ask for none: huggingface_hub would wait for ever."""
    hooks = client.event_hooks
    if not any(isinstance(hook, _Timeouts) for hook in hooks["request"]):
        client.event_hooks = {**hooks, "request": [*hooks["request"], _Timeouts(client.timeout)]}


class _Timeouts:
    def __init__(self, default: httpx2.Timeout) -> None:
        self._default = default.as_dict()

    def __call__(self, request: httpx2.Request) -> None:
        asked = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = self._default | {name: s for name, s in asked.items() if s is not None}


@contextmanager
def translate_hub_errors(what: str) -> Iterator[None]:
    """Turn what the Hub's client raises into a NetworkError about `what`, in one line.

    ForbiddenError: gated or disabled. GoneError: not there, or private. NetworkError: anything else.
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
        raise NetworkError(f"{what}: the Hub cannot be reached, and the cache does not hold it") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise NotFoundError(f"{what}: {MISSING}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        kind = AccessDeniedError if status in (401, 403) else NotFoundError if status in (404, 410) else NetworkError
        raise kind(f"{what}: the Hub answers {status}{_reason(error.server_message)}") from error
    except errors.HFValidationError as error:
        raise NotFoundError(f"{what}: no name that the Hub could have") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, errors.OfflineModeIsEnabled, OSError) as error:
        raise NetworkError(f"{what}: {error or type(error).__name__}") from error


def _reason(message: str | None) -> str:
    """Return the Hub's own words as the end of a line, for people: they may be anything."""
    words = "".join(c for c in " ".join((message or "").split()) if c.isprintable())
    return f": {words[:_WORDS]}" if words else ""
