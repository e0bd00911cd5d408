"""What the catalog remembers of a source's names, so that the source need not ask again."""

from __future__ import annotations

import json
from collections.abc import Mapping

from filtercrawl.api.checkpoint import CheckpointMetadata, PreviousState
from filtercrawl.dataset.schema.model_row import ModelRow


def previous_states(rows: Mapping[str, ModelRow], source: str) -> dict[str, PreviousState]:
    """Return what is known of one source, by the names under which it offered or skipped things.

    rows: of `models`, by model_id. What was looked at last counts, also where it could not be read.
    """
    return {row.offered_as: _known(row) for row in rows.values() if row.source == source}


def _known(row: ModelRow) -> PreviousState:
    tried = row.attempted_version
    return PreviousState(
        revision=tried.revision, etag=tried.etag, outcome=row.outcome, reason=row.reason, meta=_meta(row)
    )


def _meta(row: ModelRow) -> CheckpointMetadata:
    return CheckpointMetadata(
        task=row.task,
        visual_category=row.visual_category,
        architecture=row.architecture,
        family=row.family,
        tag=row.tag,
        library=row.library,
        license=row.license,
        license_evidence=row.license_evidence,
        paper=row.paper,
        released=row.released,
        training_datasets=row.training_datasets or (),
        metrics=json.loads(row.metrics or "{}"),
        extra=json.loads(row.extra or "{}"),
    )
