"""The HTTP client of huggingface_hub, which is one for the process."""

from __future__ import annotations

from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.utils import get_session

from filtercrawl.api.errors import AccessDeniedError
from filtercrawl.transport import network
from filtercrawl.transport.hub import api, restored_hub_client, translate_hub_errors
from support.hub.server import Answer, Asked, HubServer


def test_the_client_of_huggingface_hub_is_restored() -> None:
    mine, of_the_run = httpx2.Client(), httpx2.Client()
    huggingface_hub.set_client_factory(lambda: mine)
    try:
        with restored_hub_client():
            huggingface_hub.set_client_factory(lambda: of_the_run)
            assert get_session() is of_the_run
        assert get_session() is mine
    finally:
        huggingface_hub.set_client_factory(httpx2.Client)


class Repeating(HubServer):
    """A Hub that repeats the token of a request that it refuses."""

    def _hub(self, asked: Asked) -> Answer:
        return Answer.error(403, "", f"no rights for {asked.headers['authorization']}")


@pytest.mark.parametrize("place", ["variable", "file"])
def test_a_token_that_the_hub_repeats_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    token = f"hf_0123456789{place}"
    if place == "file":  # as `hf auth login` leaves it
        (tmp_path / "token").write_text(token)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    with Repeating() as hub, restored_hub_client():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        client = api(network())
        with pytest.raises(AccessDeniedError) as raised, translate_hub_errors("org/net"):
            client.dataset_info("org/net")
    assert str(raised.value) == "org/net: the Hub responded with HTTP 403: no rights for Bearer (hidden)"
