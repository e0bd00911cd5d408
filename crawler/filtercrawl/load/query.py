"""Choose layers by a condition over the columns of `index`: no weight is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.dataset.schema.arrow import INDEX

# What must be known of a layer to read its weight, beside where it lies.
_NEEDED: Final = ("layer_sha256", "shape")

# What a duplicate checkpoint does not store is read from where the same bytes are, first in the order of the index. Of
# duplicates that match, the one that stores its weights is taken, or else the first.
_STORED: Final = """
    WITH stored AS (
        SELECT layer_sha256, file_row_number, {{file: file, row_group: row_group, layer_id: layer_id, shape: shape,
               n_parts: n_parts}} AS keeper
        FROM every WHERE file IS NOT NULL
    ), kept AS (
        SELECT layer_sha256, arg_min(keeper, file_row_number) AS twin FROM stored GROUP BY layer_sha256
    ), found AS (
        SELECT {columns}, chosen.file_row_number, coalesce(stored.keeper, kept.twin) AS keeper
        FROM chosen LEFT JOIN stored USING (file_row_number) LEFT JOIN kept ON chosen.layer_sha256 = kept.layer_sha256
        WINDOW same AS (PARTITION BY chosen.layer_sha256)
        QUALIFY chosen.file IS NOT NULL OR NOT bool_or(chosen.file IS NOT NULL) OVER same
                AND chosen.model_id = arg_min(chosen.model_id, chosen.file_row_number) OVER same
    )
    SELECT * EXCLUDE (file_row_number) FROM found WHERE keeper IS NOT NULL ORDER BY file_row_number
"""


@dataclass(frozen=True, kw_only=True)
class LayerRequest:
    """A layer to be read. row: its place among the chosen; layer_id, shape, n_parts: as it is stored."""

    row: int
    layer_id: str
    shape: tuple[int, ...]
    n_parts: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)

    @property
    def channel(self) -> int:
        """Numbers of one output channel."""
        return math.prod(self.shape[1:])


def select_layers(index: Path, where: str | None, columns: Sequence[str], *also: duckdb.Expression) -> pa.Table:
    """Return the layers that match and whose weight is stored, in the order of the index.

    where: a condition as in DuckDB's SQL, None for all. columns: of `index`, given with their types; beside them stand
    layer_sha256, shape and `keeper`, by which `places` finds the weight. Raises UsageError where DuckDB does not
    understand the condition, DatasetError where the index cannot be read.
    """
    names = list(dict.fromkeys((*columns, *_NEEDED)))
    # Nothing that a condition names is worth a download of an extension.
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as database:
        try:
            every = database.read_parquet(_literal(index), file_row_number=True, hive_partitioning=False)
        except duckdb.Error as error:
            raise DatasetError(f"{index}: cannot be read ({_line(error)})") from error
        chosen = every
        try:
            for condition in (where, *also):
                chosen = chosen if condition is None else chosen.filter(condition)
            every.create_view("every")
            chosen.create_view("chosen")
            sql = _STORED.format(columns=", ".join(f'chosen."{name}"' for name in names))
            found = database.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise UsageError(f"cannot choose layers where {where}: {_line(error)}") from error
    keepers = found["keeper"].combine_chunks()
    if unknown := [field.name for field in keepers.type if keepers.field(field.name).null_count]:
        raise DatasetError(f"{index}: {', '.join(unknown)} is null where a weight is stored")
    try:
        return found.cast(pa.schema([*(INDEX.field(name) for name in names), found.schema.field("keeper")]))
    except (pa.ArrowException, ValueError) as error:
        raise DatasetError(f"{index}: is no index of layers ({error})") from error


def group_by_row_group(chosen: pa.Table) -> dict[str, dict[int, list[LayerRequest]]]:
    """Return what is to be read: by file and row group, both in the order in which the layers come first."""
    found: dict[str, dict[int, list[LayerRequest]]] = {}
    for row, keeper in enumerate(chosen["keeper"].to_pylist()):
        wanted = LayerRequest(
            row=row, layer_id=keeper["layer_id"], shape=tuple(keeper["shape"]), n_parts=keeper["n_parts"]
        )
        found.setdefault(keeper["file"], {}).setdefault(keeper["row_group"], []).append(wanted)
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _literal(path: Path) -> str:
    # DuckDB takes a path for a pattern.
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path))
