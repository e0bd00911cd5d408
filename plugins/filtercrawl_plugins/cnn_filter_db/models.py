"""The models of a published file: which kernels are theirs, layer by layer, and what the table says of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.cnn_filter_db.cells import Cell
from filtercrawl_plugins.cnn_filter_db.pandas_table import META_PATH, Frame
from filtercrawl_plugins.sources.shared.untrusted_text import escape_name, is_safe_name

# Columns of a layer; all others are of its model.
OF_LAYER: Final = frozenset({"model_id", "conv_depth", "conv_depth_norm", "layer_id", "filter_ids"})
RANGE: Final = re.compile(r"(\d{1,15}):(-?\d{1,15})")
# No name of a model or a layer is longer.
NAME: Final = 200


@dataclass(frozen=True, kw_only=True)
class PublishedLayer:
    """Kernels `start` to `start + kernels` of the file. depth, depth_norm: by the paper's rule; None where unknown."""

    name: str
    start: int
    n_kernels: int
    depth: int | None
    depth_norm: float | None


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A model of the file. number: its model_id; name: unique in the file; problem: why its rows cannot be used."""

    model_id: str
    name: str
    layers: tuple[PublishedLayer, ...]
    columns: Mapping[str, Cell] = field(default_factory=dict)
    problem: str | None = None


def published_models(frame: Frame, available: int, file: str) -> list[PublishedModel]:
    """Return the models of a table in its order. available: kernels in the file. Raises FormatError."""
    for needed in ("model_id", "filter_ids"):
        if needed not in frame:
            raise FormatError(f"{file}: the table /{META_PATH} has no column {needed}")
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(frame["model_id"]):
        rows.setdefault(number(cell, file), []).append(row)
    called = names({key: frame_row(frame, found[0]) for key, found in rows.items()})
    return [model(frame, key, called[key], found, available) for key, found in rows.items()]


def model(frame: Frame, key: str, name: str, rows: Sequence[int], available: int) -> PublishedModel:
    facts = {column: cell for column, cell in frame_row(frame, rows[0]).items() if column not in OF_LAYER}
    try:
        layers = tuple(layers_of(frame, rows, available))
    except FormatError as error:
        return PublishedModel(
            model_id=key, name=name, layers=(), columns=facts, problem=f"model {key} ({name}): {error}"
        )
    return PublishedModel(model_id=key, name=name, layers=layers, columns=facts)


def layers_of(frame: Frame, rows: Sequence[int], available: int) -> Iterator[PublishedLayer]:
    """Yield the layers in these rows; raises FormatError for a range that the file does not hold."""
    seen: Counter[str] = Counter()
    for row in rows:
        depth = at(frame, "conv_depth", row)
        given = at(frame, "layer_id", row)
        name = to_label(given) or f"conv{to_label(depth) or ''}"
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name}~{seen[name]}"
        span = at(frame, "filter_ids", row)
        found = RANGE.fullmatch(span) if isinstance(span, str) else None
        start, last = (int(found[1]), int(found[2])) if found else (0, -2)
        if last < start - 1 or last >= available or start > available:
            shown = repr(span)[:60] if isinstance(span, str) else "no text"
            raise FormatError(
                f"layer {name!r}: filter_ids is {shown}, not FIRST:LAST of the {available} kernels in /filters"
            )
        counted, norm = depth_and_share(depth, at(frame, "conv_depth_norm", row))
        yield PublishedLayer(name=name, start=start, n_kernels=last - start + 1, depth=counted, depth_norm=norm)


def depth_and_share(depth: Cell, norm: Cell) -> tuple[int | None, float | None]:
    """Return a depth and its share of the deepest; both None where the table does not say.

    The share is 0/0 in the table where all convolutions have one depth: then it is 0.
    """
    counted, share = numeric(depth), numeric(norm)
    if counted is None or counted < 0 or counted != int(counted) or counted >= 1 << 31:
        return None, None
    if share is None and counted == 0:
        share = 0.0
    return (int(counted), share) if share is not None and 0 <= share <= 1 else (None, None)


def names(facts: Mapping[str, Mapping[str, Cell]]) -> dict[str, str]:
    """Name every model by its column `model`, else by `Name`; by its model_id too where that is not unique."""
    stated = {key: to_label(row.get("model")) or to_label(row.get("Name")) or "model" for key, row in facts.items()}
    often = Counter(stated.values())
    single = {key: name for key, name in stated.items() if often[name] == 1 and name != "model"}
    taken = set(single.values())
    for key, name in stated.items():
        if key not in single:
            unique = f"{name}@{key}"
            while unique in taken:
                unique += "@"
            taken.add(unique)
            single[key] = unique
    return single


def to_label(cell: Cell) -> str | None:
    """Return a cell as a name fit to be shown; None for what is none."""
    if isinstance(cell, float) and cell == int(cell):
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    text = " ".join(str(cell).split())[:NAME]
    return (text if is_safe_name(text) else escape_name(text)) or None


def number(cell: Cell, file: str) -> str:
    found = to_label(cell)
    if found is None:
        raise FormatError(f"{file}: the table /{META_PATH} has a row without model_id")
    return found


def numeric(cell: Cell) -> float | None:
    """Return a finite number, also one kept as text; None for anything else."""
    try:
        value = float(cell) if isinstance(cell, int | float | str) and not isinstance(cell, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def at(frame: Frame, column: str, row: int) -> Cell:
    return frame[column][row] if column in frame else None


def frame_row(frame: Frame, row: int) -> dict[str, Cell]:
    return {column: cells[row] for column, cells in frame.items()}
