"""The HTTP client of huggingface_hub, which is one for the process."""

from __future__ import annotations

import httpx2
import huggingface_hub
from huggingface_hub.utils import get_session

from filtercrawl.transport.hub import restored_hub_client


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
