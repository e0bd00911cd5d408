"""The models of a published file: their layers, with the kernels of each, and the columns of the table."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl.api.untrusted_names import safe_name
from filtercrawl_plugins.cnn_filter_db.cells import Cell
from filtercrawl_plugins.cnn_filter_db.pandas_table import META_PATH, Frame

# Columns that describe a layer; all others describe its model.
LAYER_COLUMNS: Final = frozenset({"model_id", "conv_depth", "conv_depth_norm", "layer_id", "filter_ids"})
# The column `filter_ids`: FIRST:LAST, both inclusive; LAST is FIRST - 1 for a layer without kernels.
FILTER_RANGE: Final = re.compile(r"(\d{1,15}):(-?\d{1,15})")
# Characters of the name of a model or a layer.
MAX_NAME_LENGTH: Final = 200


@dataclass(frozen=True, kw_only=True)
class PublishedLayer:
    """A layer of a model.

    Attributes:
        name: Name, unique in the model.
        start: Index of its first kernel in `/filters`.
        n_kernels: Number of kernels.
        depth: conv_depth by the paper's rule; None if unknown.
        depth_norm: depth divided by that of the deepest layer; None if unknown.
    """

    name: str
    start: int
    n_kernels: int
    depth: int | None
    depth_norm: float | None


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A model of a published file.

    Attributes:
        model_id: Value of the column `model_id`.
        name: Name, unique in the file.
        layers: Its layers; () if there is a problem.
        columns: Cells of the columns that describe the model.
        problem: Why its rows cannot be used; None if they can.
    """

    model_id: str
    name: str
    layers: tuple[PublishedLayer, ...]
    columns: Mapping[str, Cell] = field(default_factory=dict)
    problem: str | None = None


def published_models(frame: Frame, n_available: int, file: str) -> list[PublishedModel]:
    """Return the models of a table, in the order of the table.

    Args:
        frame: Columns of the table.
        n_available: Number of kernels in the file.
        file: Name of the file, for messages.

    Raises:
        FormatError: The table has no column `model_id` or `filter_ids`, or a row has no model_id.
    """
    for needed in ("model_id", "filter_ids"):
        if needed not in frame:
            raise FormatError(f"{file}: the table /{META_PATH} has no column {needed}")
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(frame["model_id"]):
        rows.setdefault(parse_model_id(cell, file), []).append(row)
    names = unique_names({model_id: frame_row(frame, indices[0]) for model_id, indices in rows.items()})
    return [make_model(frame, model_id, names[model_id], indices, n_available) for model_id, indices in rows.items()]


def make_model(frame: Frame, model_id: str, name: str, rows: Sequence[int], n_available: int) -> PublishedModel:
    """Return the model in these rows of a table; invalid rows become its `problem`."""
    columns = {column: cell for column, cell in frame_row(frame, rows[0]).items() if column not in LAYER_COLUMNS}
    try:
        layers = tuple(layers_of(frame, rows, n_available))
    except FormatError as error:
        return PublishedModel(
            model_id=model_id, name=name, layers=(), columns=columns, problem=f"model {model_id} ({name}): {error}"
        )
    return PublishedModel(model_id=model_id, name=name, layers=layers, columns=columns)


def layers_of(frame: Frame, rows: Sequence[int], n_available: int) -> Iterator[PublishedLayer]:
    """Yield the layers in these rows; raises FormatError if a range of kernels is invalid or exceeds the file."""
    occurrences: Counter[str] = Counter()
    for row in rows:
        depth = cell_at(frame, "conv_depth", row)
        layer_id = cell_at(frame, "layer_id", row)
        name = to_label(layer_id) or f"conv{to_label(depth) or ''}"
        occurrences[name] += 1
        name = name if occurrences[name] == 1 else f"{name}~{occurrences[name]}"
        filter_ids = cell_at(frame, "filter_ids", row)
        match = FILTER_RANGE.fullmatch(filter_ids) if isinstance(filter_ids, str) else None
        start, last = (int(match[1]), int(match[2])) if match else (0, -2)
        if last < start - 1 or last >= n_available or start > n_available:
            shown = repr(filter_ids)[:60] if isinstance(filter_ids, str) else "not text"
            raise FormatError(
                f"layer {name!r}: filter_ids is {shown}, expected FIRST:LAST of the {n_available} kernels in /filters"
            )
        conv_depth, conv_depth_norm = parse_depth(depth, cell_at(frame, "conv_depth_norm", row))
        yield PublishedLayer(
            name=name, start=start, n_kernels=last - start + 1, depth=conv_depth, depth_norm=conv_depth_norm
        )


def parse_depth(depth: Cell, norm: Cell) -> tuple[int | None, float | None]:
    """Return conv_depth and conv_depth_norm of a layer; both are None if one of them is missing or invalid.

    In a model whose convolutions all have depth 0, conv_depth_norm is 0/0 in the table; it becomes 0.
    """
    number, share = to_float(depth), to_float(norm)
    if number is None or number < 0 or number != int(number) or number >= 1 << 31:
        return None, None
    if share is None and number == 0:
        share = 0.0
    return (int(number), share) if share is not None and 0 <= share <= 1 else (None, None)


def unique_names(rows: Mapping[str, Mapping[str, Cell]]) -> dict[str, str]:
    """Return a unique name for each model: its column `model`, else `Name`, with `@MODEL_ID` if it is not unique.

    Args:
        rows: The first row of each model, by model_id.
    """
    stated = {key: to_label(row.get("model")) or to_label(row.get("Name")) or "model" for key, row in rows.items()}
    occurrences = Counter(stated.values())
    names = {key: name for key, name in stated.items() if occurrences[name] == 1 and name != "model"}
    taken = set(names.values())
    for key, name in stated.items():
        if key not in names:
            unique = f"{name}@{key}"
            while unique in taken:
                unique += "@"
            taken.add(unique)
            names[key] = unique
    return names


def to_label(cell: Cell) -> str | None:
    """Return a cell as printable text of up to 200 characters, None if it is empty or neither text nor a number."""
    if isinstance(cell, float) and cell == int(cell):
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    text = " ".join(str(cell).split())[:MAX_NAME_LENGTH]
    return safe_name(text) or None


def parse_model_id(cell: Cell, file: str) -> str:
    """Return a model_id as text; raises FormatError if the cell is empty."""
    model_id = to_label(cell)
    if model_id is None:
        raise FormatError(f"{file}: the table /{META_PATH} has a row without a model_id")
    return model_id


def to_float(cell: Cell) -> float | None:
    """Return a finite number, also from text; None for anything else."""
    try:
        value = float(cell) if isinstance(cell, int | float | str) and not isinstance(cell, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def cell_at(frame: Frame, column: str, row: int) -> Cell:
    """Return a cell, None if the table has no such column."""
    return frame[column][row] if column in frame else None


def frame_row(frame: Frame, row: int) -> dict[str, Cell]:
    """Return a row of a table by column."""
    return {column: cells[row] for column, cells in frame.items()}
