"""Functions that tests of engines map: those of test modules are not found by other processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def process_of(item: int) -> tuple[int, int]:
    """Return the item and the process; later items are done earlier."""
    time.sleep(0.02 * (item % 2 == 0))
    return item, os.getpid()


def fail_at_three(item: int) -> int:
    if item == 3:
        raise ValueError("three")
    return item


def die_once(marker: Path) -> str:
    """Kill the process of the first call."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker.name


def die(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


def squares(item: int) -> Iterator[int]:
    """Return what cannot be pickled."""
    return (number * number for number in range(item))


@dataclass(frozen=True)
class Unsendable:
    """An item that fails when it is pickled."""

    number: int

    def __reduce__(self) -> str:
        raise ValueError("stays here")


def number_of(item: Unsendable) -> int:
    return item.number


def print_and_sleep(seconds: float) -> float:
    sys.stdout.write("printed by a function\n")
    sys.stdout.flush()
    time.sleep(seconds)
    return seconds
