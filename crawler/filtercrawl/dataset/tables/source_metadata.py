"""What a source states of a checkpoint, in the columns of `models`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.checkpoint import Checkpoint, TrainingRun, TrainingState, combined_etag, is_local
from filtercrawl.config.urls import redact_url
from filtercrawl.dataset.schema.crawl_state import AttemptedVersion
from filtercrawl.dataset.schema.validation import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from filtercrawl.dataset.schema.model_row import ModelRow

# Columns whose change is reason enough to publish; an address or the source's own notes wait for the next change.
_PUBLISHED_AT_ONCE: Final = (
    "task", "visual_category", "architecture", "family", "tag", "library", "license", "license_evidence", "paper",
    "released", "training_datasets", "metrics", "run_id", "step", "seed", "run_final",
)  # fmt: skip


def with_source_metadata(row: ModelRow, checkpoint: Checkpoint) -> ModelRow:
    """Return the row with what its source states now, which may change while the bytes stay."""
    meta, url = checkpoint.meta, checkpoint.files[0].url
    run, noted = _run_with_file_state(checkpoint.run or TrainingRun(id=None), row.state.training)
    extra = {**noted, **meta.extra, **({"arch": checkpoint.arch} if checkpoint.arch is not None else {})}
    same_step = (row.run_id, row.step) == (run.id, run.step)
    # Where the source leaves it open, `run_final` follows from the other checkpoints of the run, after all are read.
    final = row.run_final if run.final is None and run.id is not None and same_step else run.final
    state = replace(row.state, run_final=run.final)
    row = replace(row, run_id=run.id, step=run.step, seed=run.seed, run_final=final, state=state)
    return storable(
        replace(
            row,
            task=meta.task,
            visual_category=meta.visual_category,
            architecture=meta.architecture,
            family=meta.family,
            tag=meta.tag,
            library=meta.library,
            license=meta.license,
            license_evidence=meta.license_evidence,
            paper=meta.paper,
            released=meta.released,
            training_datasets=tuple(meta.training_datasets) or None,
            metrics=_json(meta.metrics),
            extra=_json(extra),
            url=None if url.startswith("file:") else redact_url(url),  # never a path of this machine
        )
    )


def _run_with_file_state(run: TrainingRun, state: TrainingState | None) -> tuple[TrainingRun, dict[str, Any]]:
    """Return a run with the step that the file states where the source knows none, and notes for `extra`.

    Epochs stand in for steps only outside of runs, whose steps must have one unit.
    """
    if state is None:
        return run, {}
    noted = {} if state.epoch is None else {"epoch": state.epoch}
    in_file = state.epoch if state.step is None else state.step
    if run.step is None:
        return replace(run, step=state.step if run.id is not None else in_file), noted
    if in_file is not None and run.step not in (state.step, state.epoch):
        noted["step_in_file"] = in_file
    return run, noted


def source_metadata_changed(row: ModelRow, checkpoint: Checkpoint) -> bool:
    """Tell whether the source now states something else that readers should learn without delay."""
    current = with_source_metadata(row, checkpoint)
    # Of local files the user states the notes, and expects to see them.
    names = (*_PUBLISHED_AT_ONCE, "extra") if is_local(checkpoint.files[0]) else _PUBLISHED_AT_ONCE
    return any(getattr(row, name) != getattr(current, name) for name in names)


def attempted_version(checkpoint: Checkpoint) -> AttemptedVersion:
    """Return the version of a checkpoint that is offered."""
    return AttemptedVersion(revision=checkpoint.revision, etag=combined_etag(checkpoint))


def file_etags(checkpoint: Checkpoint) -> tuple[tuple[str | None, str | None], ...]:
    """Return path and etag of each file, the main file first."""
    return tuple((file.path, file.etag) for file in checkpoint.files)


def location(checkpoint: Checkpoint) -> str:
    """Return the location of the main file: its URL without signature and credentials, or a `file:` URL."""
    url = checkpoint.files[0].url
    return url if url.startswith("file:") else redact_url(url)


def _json(stated: Mapping[str, Any]) -> str | None:
    return json.dumps(stated, sort_keys=True) if stated else None
