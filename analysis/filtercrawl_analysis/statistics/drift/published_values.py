"""Values that CNN Filter DB published, with the names of its groups translated; see the headers of the files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

KERNEL: Final = "3x3"
_FOLDER: Final = files("filtercrawl_analysis") / "published"


@dataclass(frozen=True, kw_only=True)
class PublishedValue:
    """One value.

    Attributes:
        what: `explained_variance`, `mean`, or `drift_COLUMN`.
        component: The component of an explained variance, or the tap of a mean, from 0; None for a drift.
        group_a: The first group of a drift, as it is named here.
        group_b: The second one.
        value: The value.
        tolerance: How far the true value may be from it.
    """

    what: str
    component: int | None
    group_a: str | None
    group_b: str | None
    value: float
    tolerance: float


@cache
def published_values() -> tuple[PublishedValue, ...]:
    """Return all values, in the order of the file."""
    names = group_names()
    return tuple(
        PublishedValue(
            what=row["what"],
            component=int(row["component"]) if row["component"] else None,
            group_a=names.get((row["what"].removeprefix("drift_"), row["group_a"])),
            group_b=names.get((row["what"].removeprefix("drift_"), row["group_b"])),
            value=float(row["published"]),
            tolerance=float(row["tolerance"]),
        )
        for row in _rows("cnn_filter_db.csv")
    )


@cache
def group_names() -> dict[tuple[str, str], str]:
    """Return the name here of each published group, by column and published name."""
    return {(row["column"], row["published"]): row["name"] for row in _rows("groups.csv")}


def compared_columns() -> tuple[str, ...]:
    """Return the columns whose groups have published drifts."""
    return tuple(dict.fromkeys(column for column, _ in group_names()))


def _rows(name: str) -> Iterator[dict[str, str]]:
    lines = (_FOLDER / name).read_text("utf-8").splitlines()
    yield from csv.DictReader(line for line in lines if not line.startswith("#"))
