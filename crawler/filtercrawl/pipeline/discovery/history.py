"""What the catalog remembers of a source's names, so that the source need not ask again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from filtercrawl.api.checkpoint import CheckpointMetadata, PreviousState


def previous_states(rows: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, PreviousState]:
    """Return what is known of one source, by the names under which it offered or skipped things.

    rows: of `models`, by model_id. What was looked at last counts, also where it could not be read.
    """
    return {row.get("_offered_as") or row["name"]: _known(row) for row in rows.values() if row["source"] == source}


def _known(row: Mapping[str, Any]) -> PreviousState:
    tried = row.get("_tried") or row
    return PreviousState(
        revision=tried["revision"], etag=tried["etag"], outcome=row["outcome"], reason=row["reason"], meta=_meta(row)
    )


def _meta(row: Mapping[str, Any]) -> CheckpointMetadata:
    plain = ("task", "visual_category", "architecture", "family", "tag", "library", "license", "license_evidence")
    return CheckpointMetadata(
        **{name: row[name] for name in (*plain, "paper", "released")},
        training_datasets=tuple(row["training_datasets"] or ()),
        metrics=json.loads(row["metrics"] or "{}"),
        extra=json.loads(row["extra"] or "{}"),
    )
