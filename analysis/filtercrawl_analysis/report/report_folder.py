"""Where a report is written: `analysis/` of the dataset, or a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.files.atomic import remove, remove_empty_scratch
from filtercrawl.dataset.files.manifest import PARTS

FOLDER: Final = "analysis"
PAGE: Final = "report.html"
RESULTS: Final = "results.json"
# Kinds of files by their folder.
_KINDS: Final = {"tables": ("parquet", "csv", "js"), "figures": ("svg", "png")}
# What `run_analyses` accepts as the name of a table or figure.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class ReportFolder:
    """The folder of a report. Paths of its files are relative to `root`.

    Attributes:
        root: The dataset folder, or the folder that `--out` names.
        prefix: What the paths begin with: `analysis/` in a dataset, nothing elsewhere.
    """

    root: Path
    prefix: str

    @classmethod
    def of_dataset(cls, dataset: Path) -> ReportFolder:
        """Return the folder `analysis` of a dataset."""
        return cls(root=dataset, prefix=f"{FOLDER}/")

    @classmethod
    def elsewhere(cls, folder: Path, dataset: Path) -> ReportFolder:
        """Return a folder that is no part of the dataset.

        Raises:
            UsageError: It is the dataset folder, or lies where the files of the dataset are; or it is a file.
        """
        place, taken = folder.resolve(), dataset.resolve()
        if place == taken or any(place.is_relative_to(taken / part) for part in (*PARTS, ".filtercrawl")):
            raise UsageError(f"out: {folder} belongs to the dataset; name another folder, or leave it out")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"out: {folder} is a file; name a folder")
        return cls(root=folder, prefix="")

    @property
    def page(self) -> str:
        """Path of the page."""
        return f"{self.prefix}{PAGE}"

    @property
    def results(self) -> str:
        """Path of results.json."""
        return f"{self.prefix}{RESULTS}"

    def table(self, name: str, kind: str) -> str:
        """Return the path of a table, `kind` being parquet, csv, or js for the script file that the page loads."""
        return f"{self.prefix}tables/{name}.{kind}"

    def figure(self, name: str, kind: str) -> str:
        """Return the path of a figure, `kind` being svg or png."""
        return f"{self.prefix}figures/{name}.{kind}"

    def remove_others(self, kept: set[str], known: Iterable[str]) -> None:
        """Delete tables and figures of earlier runs; files of other kinds are left alone.

        Args:
            kept: Paths of the files that stay.
            known: Names of tables and figures that an earlier run lists. In a folder that is no part of a dataset only
                files of these names are deleted, as others may be somebody's.
        """
        names = set(known)
        for path in list(self._written()):
            if path not in kept and (self.prefix or Path(path).stem in names):
                remove(self.root / path)

    def remove_scratch(self) -> None:
        """Delete the empty folder of unfinished files, where no dataset needs it."""
        if not self.prefix:
            remove_empty_scratch(self.root)

    def _written(self) -> Iterator[str]:
        for folder, kinds in _KINDS.items():
            for file in sorted((self.root / self.prefix / folder).glob("*")):
                if file.suffix.removeprefix(".") in kinds and file.is_file():
                    yield file.relative_to(self.root).as_posix()


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a report goes, and what becomes of the one that is there.

    Attributes:
        folder: The folder.
        keep_others: Whether what earlier runs wrote of other analyses stays in the report.
    """

    folder: ReportFolder
    keep_others: bool


def is_name(name: object) -> bool:
    """Return whether a table or figure may have this name, as it becomes the name of files and anchors."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None
