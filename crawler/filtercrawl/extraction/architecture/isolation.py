"""Lets other people's networks be built and run without a trace in the process."""

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
    """Hold back warnings and put random numbers back, one thread at a time; may be nested."""
    with _LOCK, warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # of the libraries, about things that no user of ours can change
        yield
