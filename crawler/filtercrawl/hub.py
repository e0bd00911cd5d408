"""The one door to the Hugging Face Hub: its own client library, over the transport of the run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from filtercrawl.errors import ForbiddenError, GoneError, NetworkError
from filtercrawl.settings import hub_endpoint
from filtercrawl.transport import Transport

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

# What `asking` says of a repo to which the token, if any, gives no access, and of one that it cannot see.
GATED: Final = "gated, and access is not granted; ask for it on the repo's page and set a token"
MISSING: Final = "not on the Hub, or private"
# Seconds between tries of a download, of which huggingface_hub makes one.
_PAUSES: Final = (0.5, 2.0, 5.0)
# Characters of an answer that are passed on, at most.
_WORDS: Final = 200


def api(transport: Transport, endpoint: str | None = None) -> HfApi:
    """Return the Hub's client, every request of which goes through `transport.client`.

    endpoint: by default that of the environment. The client finds its token itself. huggingface_hub knows one HTTP
    client a process, so the last transport given is the one in use.
    """
    import huggingface_hub  # takes a while, and most runs need none

    bound(transport.client)
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


def bound(client: httpx2.Client) -> None:
    """Give the client's own timeouts to requests that ask for none: huggingface_hub would wait for ever."""
    hooks = client.event_hooks
    if not any(isinstance(hook, _Timeouts) for hook in hooks["request"]):
        client.event_hooks = {**hooks, "request": [*hooks["request"], _Timeouts(client.timeout)]}


@dataclass(frozen=True)
class HubDataset:
    """A dataset repo at one commit, to be read: by ranges, or from the cache of huggingface_hub where that has a file.

    Requests go through huggingface_hub's own HTTP client, since the process is somebody else's. Pickled, it is the same
    repo at the same commit.
    """

    repo_id: str
    commit: str
    first: Path

    @classmethod
    def pinned(cls, repo_id: str, revision: str | None, path: str) -> Self:
        """Fetch one file and learn from it at which commit a revision (default: `main`) is; raises NetworkError."""
        import huggingface_hub

        what = f"{repo_id}@{revision or 'main'} (no folder here)"
        for pause in (*_PAUSES, None):
            try:
                with asking(what):
                    found = huggingface_hub.hf_hub_download(
                        repo_id, path, repo_type="dataset", revision=revision, endpoint=hub_endpoint()
                    )
                break
            except NetworkError as error:
                if pause is None or isinstance(error, ForbiddenError | GoneError) or huggingface_hub.is_offline_mode():
                    raise
                time.sleep(pause)
        # The cache keeps a file as snapshots/COMMIT/PATH.
        return cls(repo_id, Path(found).parents[path.count("/")].name, Path(found))

    def index(self) -> Path:
        """Return the file that was fetched."""
        return self.first

    def source(self, path: str) -> Path | BinaryIO:
        """Return what to read a file of the commit from; call it, and read, inside `asking`."""
        import huggingface_hub

        cached = huggingface_hub.try_to_load_from_cache(self.repo_id, path, repo_type="dataset", revision=self.commit)
        if isinstance(cached, str):
            return Path(cached)
        files = huggingface_hub.HfFileSystem(endpoint=hub_endpoint())
        # Parquet knows what it will read: a cache would only read more.
        place = f"datasets/{self.repo_id}@{self.commit}/{path}"
        try:
            opened: BinaryIO = files.open(place, "rb", cache_type="none")
        except FileNotFoundError as error:
            raise GoneError(f"{self}: {path}: {MISSING}") from error
        return opened

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.commit[:12]}"


class _Timeouts:
    def __init__(self, default: httpx2.Timeout) -> None:
        self._default = default.as_dict()

    def __call__(self, request: httpx2.Request) -> None:
        asked = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = self._default | {name: s for name, s in asked.items() if s is not None}


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn what the Hub's client raises into a NetworkError about `what`, in one line.

    ForbiddenError: gated or disabled. GoneError: not there, or private. NetworkError: anything else.
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise ForbiddenError(f"{what}: {GATED}") from error
    except errors.DisabledRepoError as error:
        raise ForbiddenError(f"{what}: disabled by the Hub") from error
    except errors.LocalEntryNotFoundError as error:
        raise NetworkError(f"{what}: the Hub cannot be reached, and the cache does not hold it") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise GoneError(f"{what}: {MISSING}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        kind = ForbiddenError if status in (401, 403) else GoneError if status in (404, 410) else NetworkError
        raise kind(f"{what}: the Hub answers {status}{_reason(error.server_message)}") from error
    except errors.HFValidationError as error:
        raise GoneError(f"{what}: no name that the Hub could have") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, errors.OfflineModeIsEnabled, OSError) as error:
        raise NetworkError(f"{what}: {error or type(error).__name__}") from error


def _reason(message: str | None) -> str:
    """Return the Hub's own words as the end of a line, for people: they may be anything."""
    words = "".join(c for c in " ".join((message or "").split()) if c.isprintable())
    return f": {words[:_WORDS]}" if words else ""
