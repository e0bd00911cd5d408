"""Objects whose names are numbers, each created only where there is none, of which the last is in force."""

from __future__ import annotations

from filtercrawl.dataset.object_store.objects import ObjectStore

__all__ = ["NumberedObjects"]


class NumberedObjects:
    """The numbered objects in one folder of a store."""

    def __init__(self, store: ObjectStore, folder: str) -> None:
        self._store, self._folder = store, folder

    def path(self, number: int) -> str:
        """Return the path of an object."""
        return f"{self._folder}/{number:08}.json"

    def last(self) -> int:
        """Return the last number; 0 where there is no object."""
        return max(self._numbers(), default=0)

    def read_last(self) -> tuple[int, bytes]:
        """Return the last number and the content of that object; 0 and nothing where there is none."""
        while number := self.last():
            content = self._store.read(self.path(number))
            if content is not None:  # else it was just deleted in favor of a later one
                return number, content
        return 0, b""

    def delete_before(self, number: int) -> None:
        """Delete the objects before one."""
        self._store.delete([self.path(other) for other in self._numbers() if other < number])

    def _numbers(self) -> list[int]:
        names = (path.rpartition("/")[2].removesuffix(".json") for path in self._store.list(self._folder))
        return [int(name) for name in names if name.isdecimal()]
