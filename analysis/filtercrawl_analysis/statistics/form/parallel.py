"""Many small torch computations at a time, each on one thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def map_in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the function's value for each item, computed on all cores; torch itself uses one thread meanwhile.

    Tensors of some ten thousand numbers are too small to be divided among threads: they would mostly wait for each
    other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if len(items) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(_n_cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(before)


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
