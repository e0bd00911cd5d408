"""How memory is given back to the system."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# glibc's M_MMAP_THRESHOLD: blocks from this size on are mapped one by one, and are gone when they are freed.
_THRESHOLD: Final = -3
_LARGE: Final = 4 * 1024 * 1024


def return_freed_memory() -> None:
    """Have blocks of 4 MiB and more given back to the system as they are freed, where the C library can be told so.

    By itself glibc keeps them for later as soon as one of the size was freed, between others that live on: a process
    that reads layer after layer then holds a layer or two more than it uses.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_THRESHOLD, _LARGE)
