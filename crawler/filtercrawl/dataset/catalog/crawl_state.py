"""What the next crawl compares with and no reader needs: private fields of a checkpoint, as one published column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

# Private field -> its name in the column. Where a file lies (`_url`) is not told: on this machine it is a local path.
_NAMES: Final = {
    "_tried": "tried", "_files": "files", "_prefix": "prefix", "_version": "version", "_offered_as": "offered_as",
}  # fmt: skip


def pack_state(row: Mapping[str, Any]) -> str | None:
    """Return the column `state` of a row of `models`: JSON, None where there is nothing to remember."""
    found = {name: row[field] for field, name in _NAMES.items() if row.get(field) is not None}
    if found.get("tried") == {"revision": row["revision"], "etag": row["etag"]}:
        del found["tried"]  # the other columns say so
    return json.dumps(found, sort_keys=True, separators=(",", ":")) if found else None


def unpack_state(row: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `pack`: return a published row of `models` with its private fields. Raises ValueError for no such column."""
    text = row.get("state")
    if text is None:
        return dict(row)
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{row['model_id']}: the column state holds no JSON object")
    private = {field: found[name] for field, name in _NAMES.items() if name in found}
    private.setdefault("_tried", {"revision": row["revision"], "etag": row["etag"]})
    return {**row, "state": None, "_url": row["url"], **private}
