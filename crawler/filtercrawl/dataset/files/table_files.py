"""Which files a table consists of: parts, each with the rows of some checkpoints.

A table is a folder of Parquet files, `data/index/*.parquet`. All tables have the same parts, and the parts of equal
name have the rows of the same checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filtercrawl.dataset.schema.arrow import TABLES

__all__ = ["OTHER_FILES", "PARTED", "Part", "files_of", "has_table", "paths_of", "pattern_of", "table_of", "table_path"]

# Small tables of one file each; all others have parts.
_SINGLE: Final = frozenset({"renames", "withdrawn", "sources", "runs"})
PARTED: Final = tuple(name for name in TABLES if name not in _SINGLE)
# The file of `files` that lists what belongs to no part.
OTHER_FILES: Final = "data/files/other.parquet"
_MARK: Final = "--"
# Before there were parts these tables had a file for each source, and the others one, or one for each version.
_ONCE_BY_SOURCE: Final = frozenset({"ledger", "sketches", "effective"})


@dataclass(frozen=True, order=True)
class Part:
    """The checkpoints whose rows are in one file of each table.

    Attributes:
        bits: The first bits of the SHA-256 of their ids, as text of 0 and 1.
        generation: The version that added them; empty for the first versions, which are together.
    """

    bits: str = ""
    generation: str = ""

    @property
    def name(self) -> str:
        """The name of its files without `.parquet`."""
        return "part" + (f"-{self.bits}" if self.bits else "") + (_MARK + self.generation if self.generation else "")


def table_path(table: str, part: Part | None = None) -> str:
    """Return the path of a file of a table.

    Args:
        table: The name of the table.
        part: Which of its parts; None for a table of one file.
    """
    return f"data/{table}.parquet" if part is None else f"data/{table}/{part.name}.parquet"


def pattern_of(table: str) -> str:
    """Return the path of a table of one file, or the pattern that finds all parts of another."""
    return table_path(table) if table in _SINGLE else f"data/{table}/*.parquet"


def table_of(path: str) -> str | None:
    """Return the table that a file under data/ is of, `layers` among them; None for files of other shapes.

    Files of a dataset that was written before there were parts are of a table too.
    """
    folder, _, name = path.removeprefix("data/").removesuffix(".parquet").partition("/")
    if folder == "layers" or (folder in PARTED and name and "/" not in name):
        return folder
    base = folder.partition(_MARK)[0]
    return base if not name and base in TABLES and base not in _ONCE_BY_SOURCE else None


def paths_of(paths: Iterable[str], table: str) -> list[str]:
    """Return those of a dataset's paths that are the files of a table, in the order of its rows.

    Where there are parts, files of the older layout do not count: a killed run may have left both.
    """
    found = sorted(path for path in paths if table_of(path) == table)
    parts = [path for path in found if _is_part(path)]
    return parts or found


def files_of(folder: Path, table: str) -> list[Path]:
    """Return the files of a table in a dataset folder, in the order of its rows."""
    data = folder / "data"
    found = [path for pattern in (f"{table}*.parquet", f"{table}/*.parquet") for path in data.glob(pattern)]
    names = paths_of((path.relative_to(folder).as_posix() for path in found if path.is_file()), table)
    return [folder / name for name in names]


def has_table(folder: Path, table: str) -> bool:
    """Tell whether a dataset folder has a file of a table."""
    return bool(files_of(folder, table))


def _is_part(path: str) -> bool:
    """Tell parts from files of the older layout, which for some tables lie in the same folder."""
    folder, _, name = path.removeprefix("data/").partition("/")
    if folder not in _ONCE_BY_SOURCE:
        return bool(name)
    return name == "part.parquet" or name.startswith(("part-", f"part{_MARK}"))
