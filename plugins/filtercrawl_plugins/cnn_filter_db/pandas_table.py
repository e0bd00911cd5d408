"""The table `/meta` as columns of plain cells: as pandas writes it (fixed or table), or as text (first version)."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.cnn_filter_db.cells import Cell, Matrix, decode_texts, read_matrix, read_names, to_cells
from filtercrawl_plugins.cnn_filter_db.hdf5 import Hdf5

Frame = dict[str, list[Cell]]

META_PATH: Final = "meta"
# Columns, blocks and levels of an index at most; the published table has 128 columns.
MOST: Final = 4096


def read_frame(hdf5: Hdf5) -> Frame:
    """Return the columns of `/meta`, the levels of its index among them; raises CheckpointError."""
    node = hdf5.node(META_PATH)
    if node is None:
        raise FormatError(f"{hdf5.file.name}: holds no table /{META_PATH}")
    if hdf5.is_dataset(node):
        columns = as_text(hdf5)
    elif hdf5.node(f"{META_PATH}/table") is not None:
        columns = dict(as_table(hdf5, node))
    elif hdf5.text(node, "pandas_type") == "frame":
        columns = {**dict(blocks(hdf5, node)), **dict(index(hdf5, node))}
    else:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} is no table as pandas writes it")
    if len({len(column) for column in columns.values()}) > 1:
        raise FormatError(f"{hdf5.file.name}: the columns of /{META_PATH} differ in length")
    return columns


def as_text(hdf5: Hdf5) -> Frame:
    """Read a table of comma-separated values, kept as bytes."""
    data = hdf5.array(META_PATH)
    if data.dtype.kind not in "iu" or data.dtype.itemsize != 1:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} is neither a table nor text")
    try:
        rows = list(csv.DictReader(io.StringIO(data.tobytes().decode("utf-8"))))
    except (csv.Error, ValueError) as error:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} is no text of comma-separated values ({error})") from error
    return {name: [row[name] or None for row in rows] for name in (rows[0] if rows else ()) if name}


def blocks(hdf5: Hdf5, node: Any) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the columns of the fixed format, where columns of one type are one array."""
    for block in range(count(hdf5, node, "nblocks")):
        items = line(hdf5, f"{META_PATH}/block{block}_items")
        values = cells(hdf5, f"{META_PATH}/block{block}_values")
        width = values.shape[1] if len(values.shape) == 2 else 0
        if width != len(items) and values.cells:
            raise FormatError(
                f"{hdf5.file.name}: block {block} of /{META_PATH} has {width} columns, {len(items)} names"
            )
        for column, item in enumerate(items):
            yield str(item), values.column(column) if values.cells else []


def index(hdf5: Hdf5, node: Any) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the levels of the index of the fixed format, by their names."""
    if hdf5.text(node, "axis1_variety") != "multi":
        name = hdf5.text(hdf5.dataset(f"{META_PATH}/axis1"), "name")
        if name is not None:
            yield name, line(hdf5, f"{META_PATH}/axis1")
        return
    for level in range(count(hdf5, node, "axis1_nlevels")):
        path = f"{META_PATH}/axis1_level{level}"
        name, values = hdf5.text(hdf5.dataset(path), "name"), line(hdf5, path)
        codes = hdf5.array(f"{META_PATH}/axis1_label{level}")
        if codes.dtype.kind not in "iu" or codes.ndim != 1 or (codes.size and int(codes.max()) >= len(values)):
            raise FormatError(f"{hdf5.file.name}: level {level} of the index of /{META_PATH} lacks values")
        if name is not None:
            yield name, [values[code] if code >= 0 else None for code in codes.tolist()]


def as_table(hdf5: Hdf5, node: Any) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the columns of the table format, where a row is a record and columns of one type are one field."""
    path = f"{META_PATH}/table"
    table = hdf5.dataset(path)
    records = hdf5.array(path)
    if not records.dtype.names or records.ndim != 1:
        raise FormatError(f"{hdf5.file.name}: /{path} has no records")
    encoding = known_encoding(hdf5.text(node, "encoding"))
    for field in records.dtype.names:
        kind = hdf5.attribute(table, f"{field}_kind")
        if not isinstance(kind, bytes | str) or not str(kind).startswith(("(", "b'(", "\x80", "b'\\x80")):
            continue  # the row number that pandas adds
        columns = read_names(kind, f"{hdf5.file.name}: /{path}: {field}")
        values = records[field].reshape(len(records), -1)
        if values.shape[1] != len(columns):
            raise FormatError(f"{hdf5.file.name}: {field!r} of /{path} has {values.shape[1]} columns")
        for column, name in enumerate(columns):
            here = values[:, column].tolist()
            missing = hdf5.text(table, f"{field}_nan_rep") or hdf5.text(node, "nan_rep") or "nan"
            yield name, decode_texts(here, encoding, missing) if values.dtype.kind == "S" else to_cells(here)


def cells(hdf5: Hdf5, path: str) -> Matrix:
    """Return an array of the fixed format in the orientation it had: [rows, columns]."""
    node = hdf5.dataset(path)
    if hdf5.is_pickled(path):
        found = read_matrix(hdf5.pickled(path), f"{hdf5.file.name}: /{path}")
    else:
        array = hdf5.array(path)
        if hdf5.is_empty(node):
            return Matrix((0, 0), [])
        values = array.ravel().tolist()
        decoded = decode_texts(values, "utf-8", "nan") if array.dtype.kind == "S" else to_cells(values)
        found = Matrix(tuple(array.shape), decoded)
    return found if hdf5.attribute(node, "transposed") else found.transposed


def line(hdf5: Hdf5, path: str) -> list[Cell]:
    """Return an array of one axis: names of columns, or a level of an index."""
    node = hdf5.dataset(path)
    if hdf5.is_empty(node):
        return []
    if hdf5.is_pickled(path):
        found = read_matrix(hdf5.pickled(path), f"{hdf5.file.name}: /{path}")
        if len(found.shape) == 1:
            return found.cells
    else:
        array = hdf5.array(path)
        if array.ndim == 1:
            encoding = known_encoding(hdf5.text(hdf5.node(META_PATH), "encoding"))
            missing = hdf5.text(node, "nan_rep") or "nan"
            return (
                decode_texts(array.tolist(), encoding, missing) if array.dtype.kind == "S" else to_cells(array.tolist())
            )
    raise FormatError(f"{hdf5.file.name}: /{path} is no list")


def count(hdf5: Hdf5, node: Any, name: str) -> int:
    found = hdf5.attribute(node, name)
    if not isinstance(found, int) or not 0 <= found <= MOST:
        raise FormatError(f"{hdf5.file.name}: /{META_PATH} has {found!r} as its {name}")
    return found


def known_encoding(encoding: str | None) -> str:
    """Return an encoding that Python knows; UTF-8 otherwise."""
    try:
        return codecs.lookup(encoding or "utf-8").name
    except LookupError:
        return "utf-8"
