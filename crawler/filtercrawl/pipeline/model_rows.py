"""Rows of `models`: what a source states of a checkpoint, and what crawling it has found."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from filtercrawl.api.checkpoint import Checkpoint, TrainingRun, TrainingState, combined_etag, is_local, local_name
from filtercrawl.config.urls import redact_url
from filtercrawl.dataset.schema.crawl_state import AttemptedVersion, CrawlState
from filtercrawl.dataset.schema.model_row import ContentKey, ModelRow
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.pipeline.records import CrawlResult

# Columns whose change is reason enough to publish; an address or the source's own notes wait for the next change.
_PUBLISHED_AT_ONCE: Final = (
    "task", "visual_category", "architecture", "family", "tag", "library", "license", "license_evidence", "paper",
    "released", "training_datasets", "metrics", "run_id", "step", "seed", "run_final",
)  # fmt: skip


def new_model_row(result: CrawlResult, now: datetime, version: str) -> ModelRow:
    """Return the row of a checkpoint that was just read; its outcome and content are filled in later."""
    checkpoint, known = result.task.checkpoint, result.task.previous
    row = ModelRow(
        model_id=result.task.model_id,
        source=result.task.source,
        name=known.name if known else checkpoint.name,
        aliases=tuple(sorted({*checkpoint.aliases, *((known.aliases or ()) if known else ())})),
        outcome="failed",
        revision=revision(result),
        etag=combined_etag(checkpoint),
        file=checkpoint.files[0].path,
        format=result.format,
        file_sha256=result.file_sha256,
        file_bytes=result.file_bytes,
        bytes_fetched=result.bytes_fetched,
        verified=result.verification,
        kernel_policy=result.task.policy,
        first_seen=known.first_seen if known else now,
        last_seen=now,
        first_release=known.first_release if known else None,
        crawled_at=now,
        filtercrawl_version=version,
        selectors=selectors(known, result),
        state=CrawlState(
            tried=attempted_version(checkpoint),
            files=file_etags(checkpoint),
            url=location(checkpoint),
            prefix=checkpoint.prefix,
            version=result.version,
            tensors=result.tensors_sha256,
            training=result.training,
            code=result.code or None,
            linked=is_linked(checkpoint) or None,
        ),
    )
    return with_source_metadata(row, checkpoint)


def content_key(result: CrawlResult) -> ContentKey:
    """Return what two checkpoints have in common whose layers must be the same."""
    return result.file_sha256 or "", result.task.checkpoint.prefix, result.task.policy


def same_content(result: CrawlResult, known: ModelRow) -> bool:
    """Tell whether a checkpoint has the bytes that it had, under the same policy; False without a hash."""
    digest = result.file_sha256
    return digest is not None and digest == known.file_sha256 and known.kernel_policy == result.task.policy


def revision(result: CrawlResult) -> str | None:
    """Return what changes exactly when the bytes do, as the source or its server says, or as they hash."""
    return result.task.checkpoint.revision or result.file_sha256 or result.version


def selectors(known: ModelRow | None, result: CrawlResult) -> tuple[str, ...]:
    """Return the selectors that list a checkpoint, with the one that listed it now."""
    return tuple(sorted({*((known.selectors or ()) if known else ()), result.task.selector_id}))


def seen_row(known: ModelRow, checkpoint: Checkpoint, now: datetime | None) -> ModelRow:
    """Return the row of a known checkpoint that is offered now, as its source describes it now."""
    row = with_source_metadata(known, checkpoint)
    state = replace(
        row.state,
        tried=attempted_version(checkpoint),
        files=file_etags(checkpoint),
        offered_as=None if checkpoint.name == known.name else checkpoint.name,
        restricted=None,
        linked=is_linked(checkpoint) or None,
    )
    return replace(row, last_seen=now, state=state)


def with_source_metadata(row: ModelRow, checkpoint: Checkpoint) -> ModelRow:
    """Return the row with what its source states now, which may change while the bytes stay."""
    meta, url = checkpoint.meta, checkpoint.files[0].url
    run, noted = _run_with_file_state(checkpoint.run or TrainingRun(id=None), row.state.training)
    if row.state.code:
        noted["names_code"] = list(row.state.code)
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


def is_linked(checkpoint: Checkpoint) -> bool:
    """Return whether a local file is reached through a symbolic link below the folder that was listed."""
    main = checkpoint.files[0]
    if not is_local(main) or main.path is None:
        return False
    path = local_name(main)
    for _ in range(main.path.strip("/").count("/") + 1):
        if os.path.islink(path):  # noqa: PTH114 - there is one for every checkpoint of a run
            return True
        path = os.path.dirname(path)  # noqa: PTH120
    return False


def location(checkpoint: Checkpoint) -> str:
    """Return the location of the main file: its URL without signature and credentials, or a `file:` URL."""
    url = checkpoint.files[0].url
    return url if url.startswith("file:") else redact_url(url)


def _json(stated: Mapping[str, Any]) -> str | None:
    return json.dumps(stated, sort_keys=True) if stated else None
