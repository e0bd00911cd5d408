"""Settings of the whole process that crawling changes, and restores when it ends.

Process-wide state that other modules hold:

- `extraction.architecture.isolation`: the lock under which third-party model code runs, with its warning filters and
  random state.
- `transport.hub.api`: huggingface_hub's HTTP client; `restored_hub_client` restores the one from before.
- `cli.app`: adds the current folder to `sys.path`, as `python -m` does.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from threadpoolctl import threadpool_limits

# glibc: blocks of at least M_MMAP_THRESHOLD bytes are mapped one by one, and are returned when they are freed.
_M_MMAP_THRESHOLD: Final = -3
_MMAP_THRESHOLD_BYTES: Final = 4 * 1024 * 1024


@contextmanager
def crawl_process_settings() -> Iterator[None]:
    """Set the process up for crawl workers while the block runs.

    BLAS gets one thread, since checkpoints that are crawled side by side use the cores already: more threads in an
    operation on 8,192 kernels wait for each other more than they help (measured: five times slower on a busy machine).
    The limit holds for the libraries that are loaded by then, torch's among them.
    Freed memory is returned to the system; that one setting of the C library cannot be read, and stays.
    """
    return_freed_memory()
    with threadpool_limits(1, user_api="blas"):
        yield


def limit_torch_threads() -> None:
    """Leave one thread to torch's operations in the calling thread; torch keeps this setting for each thread."""
    torch.set_num_threads(1)


def return_freed_memory() -> None:
    """Make glibc return blocks of 4 MiB and more to the system when they are freed.

    By default it keeps them for later as soon as one block of that size was freed: a process that reads layer after
    layer then holds a layer or two more than it uses. Nothing happens with other C libraries.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
