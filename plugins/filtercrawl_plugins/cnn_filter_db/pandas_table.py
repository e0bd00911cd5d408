"""Read the table `/meta` into columns: as pandas writes it (`fixed` or `table` format), or as CSV text (first version).

Formats: `pandas.io.pytables`, classes `BlockManagerFixed` and `AppendableFrameTable`.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.cnn_filter_db.cells import Cell, Matrix, decode_texts, read_matrix, read_names, to_cells
from filtercrawl_plugins.cnn_filter_db.hdf5 import Hdf5

# Cells by column.
Frame = dict[str, list[Cell]]

META_PATH: Final = "meta"
# Blocks and levels of an index; the published table has 128 columns.
MAX_COUNT: Final = 4096


def read_frame(hdf5: Hdf5) -> Frame:
    """Return the columns of `/meta`, including the levels of its index; raises CheckpointError if it is invalid."""
    node = hdf5.node(META_PATH)
    if node is None:
        raise FormatError(f"{hdf5.file.name}: has no table /{META_PATH}")
    if hdf5.is_dataset(node):
        columns = read_csv_text(hdf5)
    elif hdf5.node(f"{META_PATH}/table") is not None:
        columns = dict(read_table_format(hdf5, node))
    elif hdf5.text(node, "pandas_type") == "frame":
        columns = {**dict(read_blocks(hdf5, node)), **dict(read_index(hdf5, node))}
    else:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} is not a table in a format of pandas")
    if len({len(column) for column in columns.values()}) > 1:
        raise FormatError(f"{hdf5.file.name}: the columns of /{META_PATH} differ in length")
    return columns


def read_csv_text(hdf5: Hdf5) -> Frame:
    """Read a table of comma-separated values that is stored as bytes."""
    data = hdf5.array(META_PATH)
    if data.dtype.kind not in "iu" or data.dtype.itemsize != 1:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} is neither a table nor text")
    try:
        rows = list(csv.DictReader(io.StringIO(data.tobytes().decode("utf-8"))))
    except (csv.Error, ValueError) as error:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} is not valid CSV ({error})") from error
    return {name: [row[name] or None for row in rows] for name in (rows[0] if rows else ()) if name}


def read_blocks(hdf5: Hdf5, node: Any) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the columns of the `fixed` format, in which all columns of one type are one array."""
    for block in range(read_count(hdf5, node, "nblocks")):
        items = read_vector(hdf5, f"{META_PATH}/block{block}_items")
        values = read_array(hdf5, f"{META_PATH}/block{block}_values")
        width = values.shape[1] if len(values.shape) == 2 else 0
        if width != len(items) and values.cells:
            raise FormatError(
                f"{hdf5.file.name}: block {block} of /{META_PATH} has {width} columns but {len(items)} names"
            )
        for column, item in enumerate(items):
            yield str(item), values.column(column) if values.cells else []


def read_index(hdf5: Hdf5, node: Any) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the named levels of the index of the `fixed` format."""
    if hdf5.text(node, "axis1_variety") != "multi":
        name = hdf5.text(hdf5.dataset(f"{META_PATH}/axis1"), "name")
        if name is not None:
            yield name, read_vector(hdf5, f"{META_PATH}/axis1")
        return
    for level in range(read_count(hdf5, node, "axis1_nlevels")):
        path = f"{META_PATH}/axis1_level{level}"
        name, values = hdf5.text(hdf5.dataset(path), "name"), read_vector(hdf5, path)
        codes = hdf5.array(f"{META_PATH}/axis1_label{level}")
        if codes.dtype.kind not in "iu" or codes.ndim != 1 or (codes.size and int(codes.max()) >= len(values)):
            raise FormatError(f"{hdf5.file.name}: level {level} of the index of /{META_PATH} has codes without values")
        if name is not None:
            yield name, [values[code] if code >= 0 else None for code in codes.tolist()]


def read_table_format(hdf5: Hdf5, node: Any) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the columns of the `table` format: a row is a record, and all columns of one type are one field."""
    path = f"{META_PATH}/table"
    table = hdf5.dataset(path)
    records = hdf5.array(path)
    if not records.dtype.names or records.ndim != 1:
        raise FormatError(f"{hdf5.file.name}: /{path} has no records")
    encoding = known_encoding(hdf5.text(node, "encoding"))
    for field in records.dtype.names:
        kind = hdf5.attribute(table, f"{field}_kind")
        if not isinstance(kind, bytes | str) or not str(kind).startswith(("(", "b'(", "\x80", "b'\\x80")):
            continue  # the row number, which pandas adds
        columns = read_names(kind, f"{hdf5.file.name}: /{path}: {field}")
        values = records[field].reshape(len(records), -1)
        if values.shape[1] != len(columns):
            raise FormatError(f"{hdf5.file.name}: {field!r} of /{path} has {values.shape[1]} columns")
        for column, name in enumerate(columns):
            column_values = values[:, column].tolist()
            missing = hdf5.text(table, f"{field}_nan_rep") or hdf5.text(node, "nan_rep") or "nan"
            yield (
                name,
                decode_texts(column_values, encoding, missing) if values.dtype.kind == "S" else to_cells(column_values),
            )


def read_array(hdf5: Hdf5, path: str) -> Matrix:
    """Return an array of the `fixed` format as [rows, columns]; pandas may store it transposed."""
    node = hdf5.dataset(path)
    if hdf5.is_pickled(path):
        value = read_matrix(hdf5.pickled(path), f"{hdf5.file.name}: /{path}")
    else:
        array = hdf5.array(path)
        if hdf5.is_empty(node):
            return Matrix((0, 0), [])
        values = array.ravel().tolist()
        decoded = decode_texts(values, "utf-8", "nan") if array.dtype.kind == "S" else to_cells(values)
        value = Matrix(tuple(array.shape), decoded)
    return value if hdf5.attribute(node, "transposed") else value.transposed


def read_vector(hdf5: Hdf5, path: str) -> list[Cell]:
    """Return a 1-D array: names of columns, or a level of an index."""
    node = hdf5.dataset(path)
    if hdf5.is_empty(node):
        return []
    if hdf5.is_pickled(path):
        value = read_matrix(hdf5.pickled(path), f"{hdf5.file.name}: /{path}")
        if len(value.shape) == 1:
            return value.cells
    else:
        array = hdf5.array(path)
        if array.ndim == 1:
            encoding = known_encoding(hdf5.text(hdf5.node(META_PATH), "encoding"))
            missing = hdf5.text(node, "nan_rep") or "nan"
            return (
                decode_texts(array.tolist(), encoding, missing) if array.dtype.kind == "S" else to_cells(array.tolist())
            )
    raise FormatError(f"{hdf5.file.name}: /{path} is not a 1-D array")


def read_count(hdf5: Hdf5, node: Any, name: str) -> int:
    """Return an attribute that is a count; raises FormatError if it is not, or is too large."""
    value = hdf5.attribute(node, name)
    if not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} has the invalid {name} {value!r}")
    return value


def known_encoding(encoding: str | None) -> str:
    """Return the canonical name of an encoding, UTF-8 if Python does not know it."""
    try:
        return codecs.lookup(encoding or "utf-8").name
    except LookupError:
        return "utf-8"
