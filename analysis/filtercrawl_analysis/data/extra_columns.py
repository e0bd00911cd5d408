"""Keys of `models.extra`, JSON of what a source states besides the columns, as columns to compare by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa


def extra_keys(extra: pa.ChunkedArray) -> set[str]:
    """Return the keys whose values are numbers, texts or truth values in at least one row."""
    return {key for stated in _parse(extra) for key, value in stated.items() if _label(value) is not None}


def with_extra_columns(models: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Add a text column for each key; null where a row has no such key, or a list or an object."""
    stated = _parse(models["extra"]) if keys else []
    for key in keys:
        models = models.append_column(key, pa.array([_label(row.get(key)) for row in stated], pa.string()))
    return models


def _parse(extra: pa.ChunkedArray) -> list[dict[str, Any]]:
    rows = [json.loads(text) if text else {} for text in extra.to_pylist()]
    return [row if isinstance(row, dict) else {} for row in rows]


def _label(value: object) -> str | None:
    return str(value) if isinstance(value, bool | int | float | str) else None
