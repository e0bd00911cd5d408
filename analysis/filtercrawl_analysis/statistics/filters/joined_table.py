"""A table that a user has of filters, such as their relevance, matched to those of a dataset by their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.errors import UsageError
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.filters.filter_rows import FILTER_SCHEMA

_IDS: Final = frozenset({"filter_id", "layer_id", "out_channel"})


class JoinedTable:
    """Columns by filter.

    Attributes:
        fields: The columns beside the ids.
        n_rows: Rows of the table.
    """

    def __init__(self, table: pa.Table, name: str) -> None:
        """Index a table.

        Args:
            table: A column `filter_id`, or `layer_id` and `out_channel`; and others.
            name: What errors call it.

        Raises:
            UsageError: The ids are missing or not unique, or a column has the name of one of the table of filters.
        """
        if len(set(table.column_names)) < table.num_columns:
            raise UsageError(f"{name}: two columns have the same name; rename one")
        layers, outs = _ids(table, name)
        values = table.select([column for column in table.column_names if column not in _IDS])
        if not values.num_columns:
            raise UsageError(f"{name}: no column beside the ids")
        for column in values.column_names:
            if column in FILTER_SCHEMA.names:
                raise UsageError(f"{name}: the column {column!r} is one of the table of filters; rename it")
        order = np.lexsort((outs, layers))
        # Joined once: to join a column copies all of it.
        self._columns = [column.combine_chunks() for column in values.take(pa.array(order)).columns]
        self._outs = outs[order]
        ordered = layers[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, np.int64)
        stops = np.r_[starts[1:], len(ordered)]
        repeated = (np.diff(self._outs) == 0) & (ordered[1:] == ordered[:-1])
        if repeated.any():
            at = int(np.flatnonzero(repeated)[0])
            raise UsageError(f"{name}: the filter {ordered[at]}:{self._outs[at]} has two rows")
        bounds = zip(starts.tolist(), stops.tolist(), strict=True)
        self._slices = {str(ordered[start]): slice(start, stop) for start, stop in bounds}
        self.fields = tuple(pa.field(field.name, field.type) for field in values.schema)
        self.n_rows = table.num_rows

    @classmethod
    def read(cls, path: Path) -> JoinedTable:
        """Read a CSV or Parquet file.

        Raises:
            UsageError: It cannot be read, or the ids are missing or not unique.
        """
        try:
            table = pq.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
        except (OSError, pa.ArrowException) as error:
            kind = "Parquet" if path.suffix == ".parquet" else "CSV"
            raise UsageError(f"--join {path}: cannot be read as {kind} ({error})") from error
        # pandas writes its index too, under no name or a name of its own.
        kept = [i for i, name in enumerate(table.column_names) if name and not name.startswith("__index_level_")]
        return cls(table.select(kept), f"--join {path.name}")

    def of_layer(self, layer_id: str, n_filters: int) -> tuple[list[pa.Array], int]:
        """Return the columns of a layer, in the order of its filters, null without a row; and the rows found."""
        found = self._slices.get(layer_id, slice(0, 0))
        outs = self._outs[found]
        valid = (outs >= 0) & (outs < n_filters)
        row_of = np.full(n_filters, -1, np.int64)
        row_of[outs[valid]] = np.arange(found.start, found.stop)[valid]
        rows = pa.array(row_of, mask=row_of < 0)
        return [column.take(rows) for column in self._columns], int(valid.sum())

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the columns of numbers."""
        return tuple(field.name for field in self.fields if _is_number(field.type))


def numbers(column: pa.Array) -> Array:
    """Return a column of numbers as float64; NaN for null."""
    found: Array = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _ids(table: pa.Table, name: str) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return the layer and the output channel of each row."""
    names = set(table.column_names)
    try:
        if "filter_id" in names:
            parts = pc.extract_regex(table["filter_id"].cast(pa.string()), r"^(?P<layer>.*):(?P<out>\d+)$")
            if parts.null_count:
                wrong = table["filter_id"].filter(pc.is_null(parts))[0].as_py()
                raise UsageError(f"{name}: the filter_id {wrong!r} is not a layer_id, a colon and a channel from 0")
            layers, outs = pc.struct_field(parts, "layer"), pc.struct_field(parts, "out").cast(pa.int64())
        elif {"layer_id", "out_channel"} <= names:
            layers, outs = table["layer_id"].cast(pa.string()), table["out_channel"].cast(pa.int64())
            if layers.null_count or outs.null_count:
                raise UsageError(f"{name}: a row has no layer_id or no out_channel")
        else:
            raise UsageError(
                f"{name}: needs a column filter_id, or layer_id and out_channel; has {', '.join(sorted(names))}"
            )
    except pa.ArrowException as error:
        raise UsageError(f"{name}: the ids cannot be read ({error})") from error
    return np.array(layers.to_pylist(), np.str_), outs.to_numpy()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))
