"""Which files a table consists of: a file of its own for the rows of each version, so no old row is sent again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path, PurePath
from typing import Final, TypeVar

from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl.dataset.schema.version_order import UNRELEASED, release_order

__all__ = ["TablePartitions", "base_path", "files_of", "part_order", "table_of"]

# So many versions after the last time, the parts become one again: a reader opens a few files, not one a version.
_JOINED: Final = 32
_MARK: Final = "--"
# Tables with a file for each source have a folder of their own.
_BY_SOURCE: Final = frozenset({"ledger", "sketches", "effective"})
T = TypeVar("T")


class TablePartitions:
    """Which file of a table has the rows of a checkpoint.

    The rows of the first versions are in `NAME.parquet`, those that a later version added in `NAME--VERSION.parquet`.
    releases: model_id -> the first version that has it, None for none yet.
    """

    def __init__(self, releases: Mapping[str, str | None]) -> None:
        every = sorted(set(releases.values()), key=release_order)
        joined = (len(every) - 1) // _JOINED * _JOINED + 1
        self._releases = releases
        self._later = frozenset(every[joined:])

    def split(self, rows: Iterable[tuple[str, T]], path: str) -> Iterator[tuple[str, Iterator[T]]]:
        """Split rows into parts.

        Args:
            rows: (model_id, row), sorted by the version that first published the checkpoint.
            path: Path of the first part without `.parquet`; the other parts are named after it.

        Yields:
            Path and rows of each part.
        """
        for number, (part, group) in enumerate(groupby(rows, key=lambda row: self._part(row[0]))):
            yield f"{path}{_MARK}{part}.parquet" if number else f"{path}.parquet", (row for _, row in group)

    def _part(self, model_id: str) -> str:
        release = self._releases.get(model_id)
        return (release or UNRELEASED) if release in self._later else ""


def base_path(name: str) -> str:
    """Return the name of the first part by that of any; names are without `.parquet`."""
    return name.partition(_MARK)[0]


def table_of(path: str) -> str | None:
    """Return the table that a file under data/ is of, `layers` among them; None for files of other shapes."""
    parts = path.removeprefix("data/").removesuffix(".parquet").split("/")
    if parts[0] == "layers" or (parts[0] in _BY_SOURCE and len(parts) == 2):
        return parts[0]
    name = base_path(parts[0])
    return name if len(parts) == 1 and name in TABLES and name not in _BY_SOURCE else None


def files_of(folder: Path, table: str) -> list[Path]:
    """Return the files of a table in a dataset folder: by source, then by the version that added them."""
    data = folder / "data"
    found = data.glob(f"{table}/*.parquet" if table in _BY_SOURCE else f"{table}*.parquet")
    return sorted(
        (path for path in found if path.is_file() and table_of(path.relative_to(data).as_posix()) == table),
        key=part_order,
    )


def part_order(path: PurePath) -> tuple[str, bool, str]:
    """Return the key by which the parts of a table are sorted: the order of their rows is that of `index`."""
    base, _, release = path.stem.partition(_MARK)
    return base, release != "", release_order(None if release == UNRELEASED else release)
