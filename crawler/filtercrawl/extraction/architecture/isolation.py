"""Isolate third-party model code from the process."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# The filters of warnings and the random numbers are the process's, and several threads may crawl.
_LOCK = threading.RLock()


@contextmanager
def isolated_model_code() -> Iterator[None]:
    """Suppress warnings and restore the state of random generators; holds a process-wide lock, and may be nested."""
    with _LOCK, warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # of the libraries, about things that no user of ours can change
        yield
