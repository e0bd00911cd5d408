"""Select layers by a condition over the columns of `index`; no weight is read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.formatting import unknown_column
from filtercrawl.dataset.schema.arrow import INDEX

# Columns that reading a weight needs, besides where it is stored.
_REQUIRED: Final = ("layer_sha256", "shape")
# What is the same for rows of the same weight: as it is stored, or as the network convolves with it.
STORED_WEIGHT: Final = "chosen.layer_sha256"
EFFECTIVE_WEIGHT: Final = (
    "coalesce(chosen.effective_sha256, chosen.layer_sha256), "
    "chosen.weight_kind = 'standardized' AND chosen.effective_sha256 IS NULL"
)

# `owner` is where a layer's weight is stored: for layers of duplicate checkpoints, the first row of the index that
# stores the same bytes. Of duplicates that match, the one that stores its weights is taken, or else the first.
_SELECT: Final = """
    WITH stored AS (
        SELECT layer_sha256, filename, file_row_number, {{file: file, row_group: row_group, layer_id: layer_id,
               shape: shape, n_parts: n_parts}} AS owner
        FROM every WHERE row_group IS NOT NULL
    ), first_stored AS (
        SELECT layer_sha256, arg_min(owner, (filename, file_row_number)) AS owner FROM stored GROUP BY layer_sha256
    ), found AS (
        SELECT {columns}, chosen.filename, chosen.file_row_number, chosen.file AS named,
               coalesce(stored.owner, first_stored.owner) AS owner
        FROM chosen LEFT JOIN stored USING (filename, file_row_number)
             LEFT JOIN first_stored ON chosen.layer_sha256 = first_stored.layer_sha256
        WINDOW same AS (PARTITION BY {same})
        QUALIFY chosen.row_group IS NOT NULL OR NOT bool_or(chosen.row_group IS NOT NULL) OVER same
                AND chosen.model_id = arg_min(chosen.model_id, (chosen.filename, chosen.file_row_number)) OVER same
    )
    SELECT * EXCLUDE (filename, file_row_number, named) FROM found WHERE owner IS NOT NULL OR named IS NOT NULL
    ORDER BY filename, file_row_number
"""


@dataclass(frozen=True, kw_only=True)
class LayerRequest:
    """A layer whose weight is to be read.

    Attributes:
        row: Its row among the selected layers.
        layer_id: The id under which the weight is stored.
        shape: `[out_channels, in_channels/groups, *kernel_size]`.
        n_parts: The number of rows in which it is stored.
    """

    row: int
    layer_id: str
    shape: tuple[int, ...]
    n_parts: int

    @property
    def size(self) -> int:
        """How many numbers the layer has."""
        return math.prod(self.shape)

    @property
    def channel_size(self) -> int:
        """How many numbers one output channel has."""
        return math.prod(self.shape[1:])


def select_layers(
    index: Sequence[Path],
    where: str | None,
    columns: Sequence[str],
    *conditions: str | duckdb.Expression,
    same: str = STORED_WEIGHT,
) -> pa.Table:
    """Return the layers that match and whose weight is stored, in the order of `index`.

    Args:
        index: The files of `index`, by name.
        where: A condition in the SQL of DuckDB; None for all.
        columns: Columns of `index` to return.
        *conditions: Further conditions, all of which must hold.
        same: Expressions over `chosen`, a row of the index, that are the same for rows of the same weight.

    Returns:
        The columns, `layer_sha256`, `shape`, and `owner`: file, row group, layer id, shape and parts of the row that
        stores the weight.

    Raises:
        UsageError: The condition is empty, or DuckDB does not understand it.
        DatasetError: The index cannot be read.
    """
    if where is not None and not where.strip():
        raise UsageError("the condition for layers is empty; None, or `true`, is for all layers")
    names = list(dict.fromkeys((*columns, *_REQUIRED)))
    folder = index[0].parent
    # Nothing in a condition is worth the download of an extension.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as database:
        try:
            paths = [_literal(path) for path in index]
            every = _with_newer_columns(
                database, database.read_parquet(paths, file_row_number=True, filename=True, hive_partitioning=False)
            )
        except duckdb.Error as error:
            raise DatasetError(f"{folder}: cannot be read ({_line(error)})") from error
        chosen = every
        try:
            for condition in (where, *conditions):
                chosen = chosen if condition is None else chosen.filter(condition)
            every.create_view("every")
            chosen.create_view("chosen")
            sql = _SELECT.format(columns=", ".join(f'chosen."{name}"' for name in names), same=same)
            found = database.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise UsageError(f"cannot choose layers where {where}: {_reason(error)}") from error
    owners = found["owner"].combine_chunks()
    if owners.null_count:
        raise DatasetError(f"{folder}: row_group is null where a weight is stored")
    if unknown := [field.name for field in owners.type if owners.field(field.name).null_count]:
        raise DatasetError(f"{folder}: {', '.join(unknown)} is null where a weight is stored")
    try:
        return found.cast(pa.schema([*(INDEX.field(name) for name in names), found.schema.field("owner")]))
    except (pa.ArrowException, ValueError) as error:
        raise DatasetError(f"{folder}: is no index of layers ({error})") from error


def _with_newer_columns(database: duckdb.DuckDBPyConnection, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Add the columns, null, that the schema has and an index of an older version has not."""
    lacking = [field.name for field in INDEX if field.nullable and field.name not in rows.columns]
    if not lacking:
        return rows
    rows.create_view("as_written")
    database.from_arrow(INDEX.empty_table().select(lacking)).create_view("newer")
    return database.sql("SELECT * FROM as_written UNION ALL BY NAME SELECT * FROM newer")


def group_by_row_group(selected: pa.Table) -> dict[str, dict[int, list[LayerRequest]]]:
    """Group what `select_layers` returned by file and row group, both in order of their first layer."""
    requests: dict[str, dict[int, list[LayerRequest]]] = {}
    for row, owner in enumerate(selected["owner"].to_pylist()):
        request = LayerRequest(
            row=row, layer_id=owner["layer_id"], shape=tuple(owner["shape"]), n_parts=owner["n_parts"]
        )
        requests.setdefault(owner["file"], {}).setdefault(owner["row_group"], []).append(request)
    return requests


def _reason(error: duckdb.Error) -> str:
    """Say what is wrong with a condition; of a column that is not known, without columns of the query around it."""
    unknown = re.search(r'Referenced column "([^"]+)" not found', str(error))
    return f"index has no column {unknown_column(unknown[1], INDEX.names)}" if unknown else _line(error)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _literal(path: Path) -> str:
    """Return a path so that DuckDB does not take it for a pattern."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path))
