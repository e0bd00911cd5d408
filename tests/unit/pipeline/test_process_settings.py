"""What a crawl changes of the process, and restores."""

from __future__ import annotations

import numpy as np
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
