"""How the catalog keeps rows: as JSON text."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from filtercrawl.dataset.catalog.damage import DamagedRowError
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.crawl_state import PUBLISHED, CrawlState
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.model_row import ModelRow

_TIMES: Final = tuple(field.name for field in MODELS if pa.types.is_timestamp(field.type))
# The crawl state is stored next to the columns, under its fields' names with this prefix.
_STATE: Final = "_"
# What a row that is not as it was written may raise.
_DAMAGE: Final = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


def encode_model(row: ModelRow) -> str:
    """Write a row of `models` as JSON, with its crawl state in full."""
    state: dict[str, Any] = {_STATE + name: value for name, value in row.state.as_json().items()}
    if row.state.url is not None:
        state[_STATE + "url"] = row.state.url
    return json.dumps({**vars(row), "state": None, **state}, default=_time)


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"the catalog has no form for a {type(value).__name__}")


def decode_model(text: str, last_listed: str | None = None) -> ModelRow:
    """Read a row of `models` back; columns that are newer than it are null.

    Args:
        text: The row, as JSON.
        last_listed: When a listing had the checkpoint, where that was not written into its row.

    Raises:
        DamagedRowError: It is not as it was written.
    """
    try:
        stored: dict[str, Any] = json.loads(text)
        if last_listed is not None:
            stored["last_seen"] = max(last_listed, stored.get("last_seen") or "")
        for name in _TIMES:
            if stored.get(name) is not None:
                stored[name] = datetime.fromisoformat(stored[name])
        known = {name: stored[_STATE + name] for name in PUBLISHED if _STATE + name in stored}
        return ModelRow.from_stored(stored, CrawlState.from_json(known, stored.get(_STATE + "url")))
    except _DAMAGE as error:
        raise DamagedRowError(f"a row of a checkpoint cannot be read ({error!r})") from error


def encode_layer(row: IndexRow) -> str:
    """Write a row of `index` as JSON, without what is unknown of it."""
    return json.dumps({name: value for name, value in vars(row).items() if value is not None})


def decode_layer(text: str) -> IndexRow:
    """Read a row of `index` back; raises DamagedRowError."""
    try:
        return IndexRow.from_arrow(json.loads(text))
    except _DAMAGE as error:
        raise DamagedRowError(f"a row of a layer cannot be read ({error!r})") from error


def samples_key(layer_sha256: str, taps: int) -> str:
    """Name the kernels picked from a layer: the same bytes are other kernels where the size is another."""
    return f"{layer_sha256}/{taps}"
