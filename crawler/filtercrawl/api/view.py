"""Views: named selections of layers, and other forms of their weights, for `filtercrawl.load_layers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class View:
    """A named selection of layers, another form of their weights, or both.

    Attributes:
        name: Lower-case letters, digits and hyphens, such as `last-spatial`.
        about: One sentence on what it holds, for people.
        where: A condition over the columns of `index` in the SQL of DuckDB; None selects all layers.
        columns: Columns of `index` that `transform` needs besides those that the caller asks for.
        transform: Receives the loaded table, one row per layer with `shape` and `weight`, and returns the one to use in
            its place: with other weights, with fewer rows, or with further columns. None leaves the table as it is.
    """

    name: str
    about: str
    where: str | None = None
    columns: tuple[str, ...] = ()
    transform: Callable[[pa.Table], pa.Table] | None = None
