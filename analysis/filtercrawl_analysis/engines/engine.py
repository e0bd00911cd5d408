"""What an engine of analyses is, and the one that computes in the process of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from filtercrawl_analysis.numerics.one_thread import one_thread

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Computes a function of many items; the results are the same on every engine, byte for byte."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item, in their order, see `DatasetView.map`.

        Items are taken as they are needed, a few ahead of the value that is yielded next.

        Raises:
            EngineError: What computes cannot be reached, or ends again and again without a result.
            Cancelled: The run is to end.
        """
        ...


class MapItems(Protocol):
    """`Engine.map` or `DatasetView.map`, handed to what maps a function."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item, in their order."""
        ...


class SerialEngine:
    """Computes one item after the other in this process; implements `Engine`."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item."""
        for item in items:
            yield compute(function, item)


def compute(function: Callable[[T], R], item: T) -> R:
    """Return the function's value, computed on one thread: the same digits wherever it is computed."""
    with one_thread():
        return function(item)
