"""A mapping whose items are looked up one by one, and loaded all at once only to iterate over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

V = TypeVar("V")


class LazyMapping(Mapping[str, V], Generic[V]):
    """A mapping that loads everything only where it is iterated over, or where a key is not found by itself.

    Args:
        find: Returns the value of one key; None where it takes all to know.
        load: Returns the whole mapping.
    """

    def __init__(self, find: Callable[[str], V | None], load: Callable[[], Mapping[str, V]]) -> None:
        self._find = find
        self._load = load

    def __getitem__(self, key: str) -> V:
        found = self._find(key)
        return self._all[key] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _all(self) -> Mapping[str, V]:
        return self._load()
