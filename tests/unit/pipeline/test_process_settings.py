"""What a crawl changes of the process, and restores."""

from __future__ import annotations

import httpx2
import huggingface_hub
import numpy as np
from huggingface_hub.utils import get_session
from threadpoolctl import threadpool_info

from filtercrawl.pipeline.process_settings import crawl_process_settings


def blas_threads() -> list[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_blas_threads_are_limited_and_restored() -> None:
    before = blas_threads()
    with crawl_process_settings():
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


def test_the_client_of_huggingface_hub_is_restored() -> None:
    mine, of_the_run = httpx2.Client(), httpx2.Client()
    huggingface_hub.set_client_factory(lambda: mine)
    try:
        with crawl_process_settings():
            huggingface_hub.set_client_factory(lambda: of_the_run)
            assert get_session() is of_the_run
        assert get_session() is mine
    finally:
        huggingface_hub.set_client_factory(httpx2.Client)
