"""Ask the Hub whether the token may write, before there is anything to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filtercrawl.api.errors import AccessDeniedError, NotFoundError
from filtercrawl.api.transport import Transport
from filtercrawl.transport import hub
from filtercrawl.transport.responses import map_http_errors

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["check_token"]

_REFUSED: Final = (401, 403)


def check_token(transport: Transport, api: HfApi, repo_id: str, repo_type: str) -> None:
    """Ask whether the token may write to a repository; where there is none yet, whether it may write at all.

    Of a Hub that does not answer such questions, and of a token with permissions for single repositories where there is
    none yet, the first write tells.

    Args:
        transport: For the requests.
        api: The Hub's client, over that transport.
        repo_id: `org/name`.
        repo_type: The Hub's word for what it is.

    Raises:
        AccessDeniedError: It may not.
        NetworkError: The Hub could not be reached.
    """
    try:
        with hub.translate_hub_errors(repo_id):
            api.auth_check(repo_id, repo_type=repo_type, write=True)
        return
    except AccessDeniedError as error:
        problem = str(error)
    except NotFoundError:
        found = _problem(transport, api.endpoint)
        if found is None:
            return
        problem = f"{repo_id}: {found}"
    raise AccessDeniedError(f"{problem}; set HF_TOKEN to a token that may write there")


def _problem(transport: Transport, endpoint: str) -> str | None:
    """Return why the token can create no repository; None if it may, or if the Hub does not say."""
    from huggingface_hub import get_token

    token = get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with map_http_errors("the Hub"):
        response = transport.client.get(f"{endpoint}/api/whoami-v2", headers=headers)
    if response.status_code in _REFUSED:
        return "there is no token, or the Hub does not know it"
    try:
        role = response.json()["auth"]["accessToken"]["role"]
    except (ValueError, KeyError, TypeError):
        return None
    return "the token may only read" if role == "read" else None
