"""Write what came of one checkpoint into the catalog, the files first, so that a kill repeats it and loses nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from filtercrawl.api.checkpoint import Checkpoint, combined_etag
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables.effective import of_checkpoint
from filtercrawl.dataset.tables.staged_layers import StagedLayers, discard, fingerprint
from filtercrawl.extraction.ledger import LedgerEntry
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.model_rows import (
    attempted_version,
    content_key,
    location,
    new_model_row,
    revision,
    same_content,
    seen_row,
    selectors,
    with_source_metadata,
)
from filtercrawl.pipeline.records import CommitOutcome, CrawlResult
from filtercrawl.pipeline.retry_pause import retry_pause


@dataclass(kw_only=True)
class CatalogWriter:
    """Writes the results of crawling into the catalog.

    Attributes:
        catalog: The catalog.
        ownership: Decides which of several checkpoints with the same layers stores the weights.
        now: The time of the run.
        version: The version of filtercrawl.
        index: Contents that are known, shared with the workers.
        removed_by_content: (selector id, file sha256) -> model ids that are no longer listed.
        renamed: The model ids for which a new name was found.
    """

    catalog: Catalog
    ownership: WeightOwnership
    now: datetime
    version: str
    index: ContentIndex = field(default_factory=ContentIndex)
    removed_by_content: Mapping[tuple[str, str], list[str]] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)

    def commit(self, result: CrawlResult) -> CommitOutcome:
        """Write one result and return what became of the checkpoint.

        `shared`: emitted, and another checkpoint stores the weights of its layers. `must_recrawl`: nothing was written;
        the checkpoint was to take over the weights of a duplicate, but they are lost, so that it has to be read itself.
        """
        became = self._commit(result)
        if became in ("emitted", "shared", "duplicate", "no_kernels"):
            model_id, known = result.task.model_id, result.task.previous
            if known is not None:
                self.index.remove(known.content_key, model_id)  # its old content is gone
            written = self.catalog.model(model_id)
            if result.file_sha256 is not None and written is not None and written.has_weights:
                self.index.add(content_key(result), model_id)
        return became

    def became_duplicate(self, model_id: str) -> bool:
        """Tell whether a later checkpoint took over the weights of one, as a file does from a link to it."""
        known = self.catalog.model(model_id)
        return known is not None and known.outcome == "duplicate"

    def _commit(self, result: CrawlResult) -> CommitOutcome:
        known = result.task.previous
        if known is not None and (stored := self.catalog.model(known.model_id)) is not None:
            # Another checkpoint of this run may have taken over its weights since the plan was made.
            known = replace(
                known, layers_file=stored.layers_file, duplicate_of=stored.duplicate_of, outcome=stored.outcome,
                license_policy=stored.license_policy,
            )  # fmt: skip
        if result.error is not None:
            return self._store_failure(result, result.error, known)
        if known is not None and (result.unchanged or same_content(result, known)):
            return self._store_unchanged(result, known)
        old_name = self._find_old_name(result) if result.task.action == "new" else None
        if old_name is not None:
            return self._store_rename(result, old_name)
        row = new_model_row(result, self.now, self.version)
        # Looked up once more: an earlier checkpoint may have hashed the same content after this one.
        original = result.duplicate_of or self.index.get(content_key(result))
        if original is not None and original != result.task.model_id:
            if not self._layers_file_missing(row, original):
                discard(result.layers)
                return self._store_duplicate(row, result.task.checkpoint, original)
            if result.layers is None:
                self.index.forget(content_key(result))
                return "must_recrawl"
        assert result.layers is not None
        assert result.ledger is not None
        ledger = result.ledger
        emitted = [layer for layer in result.layers.rows if layer.emitted]
        row = replace(
            row,
            num_params=result.num_params,
            tensors_emitted=sum(entry.reason is None for entry in ledger),
            tensors_skipped=sum(entry.reason is not None for entry in ledger),
            n_layers=len(emitted),
            n_kernels=sum(layer.n_kernels for layer in emitted),
            n_kernels_3x3=sum(layer.n_kernels for layer in emitted if layer.kernel == "3x3"),
        )
        return self._store_content(row, result.layers, ledger)

    # What may become of a checkpoint.

    def _store_failure(self, result: CrawlResult, error: str, known: ModelRow | None) -> CommitOutcome:
        checkpoint = result.task.checkpoint
        if known is not None:
            code = result.code or (known.state.code if known.has_content else None)
            state = replace(known.state, tried=attempted_version(checkpoint), code=code)
            row = with_source_metadata(replace(known, state=state), checkpoint)
        else:
            row = new_model_row(result, self.now, self.version)
        attempts = (row.attempts if known is not None and result.task.action == "retry" else 0) + 1
        row = replace(
            row,
            outcome="failed",
            reason=error,
            attempts=row.attempts if result.never_tried else attempts,
            next_retry=None if result.never_tried else self.now + retry_pause(attempts),
            filtercrawl_version=self.version,
            last_seen=self.now,
            selectors=selectors(known, result),
        )
        with self.catalog.transaction():
            if known is None:
                self.catalog.put_model(row)
            else:
                self.catalog.update_model(row)  # the content that was written before stays
        return "failed"

    def _store_unchanged(self, result: CrawlResult, known: ModelRow) -> CommitOutcome:
        """Store the same bytes under a new date, or readable again after a failure: the content stays."""
        discard(result.layers)
        row = seen_row(known, result.task.checkpoint, self.now)
        row = replace(
            row,
            outcome=known.content_outcome,
            reason=None,
            next_retry=None,
            attempts=0,
            revision=revision(result),
            etag=combined_etag(result.task.checkpoint),
            selectors=selectors(known, result),
            state=replace(row.state, version=result.version),
        )
        if known.outcome == "failed":
            with self.catalog.transaction():
                self.catalog.update_model(row)
        else:
            self.catalog.update_model(row)  # a date alone is no reason to publish
        return "unchanged"

    def _store_rename(self, result: CrawlResult, model_id: str) -> CommitOutcome:
        discard(result.layers)
        known, checkpoint = self.ownership.row(model_id), result.task.checkpoint
        row = seen_row(known, checkpoint, self.now)
        row = replace(
            row,
            aliases=tuple(sorted({*(known.aliases or ()), checkpoint.name})),
            etag=combined_etag(checkpoint),
            revision=revision(result),
            file=checkpoint.files[0].path,
            selectors=selectors(known, result),
            state=replace(row.state, url=location(checkpoint)),
        )
        with self.catalog.transaction():
            self.catalog.update_model(row)
            self.catalog.put_rename(result.task.source, checkpoint.name, model_id, known.offered_as, self.now)
        self.renamed.add(model_id)
        return "renamed"

    def _store_duplicate(self, row: ModelRow, checkpoint: Checkpoint, original_id: str) -> CommitOutcome:
        """Store a file that another checkpoint has too: its content is known without reading."""
        original = self.ownership.row(original_id)
        state = replace(row.state, tensors=original.state.tensors, training=original.state.training)
        row = replace(
            with_source_metadata(replace(row, state=state), checkpoint),
            bytes_fetched=0,
            format=row.format or original.format,
            num_params=original.num_params,
            n_layers=original.n_layers,
            n_kernels=original.n_kernels,
            n_kernels_3x3=original.n_kernels_3x3,
            tensors_emitted=original.tensors_emitted,
            tensors_skipped=original.tensors_skipped,
        )
        layers = [layer.of_checkpoint(row.model_id, row.source) for layer in self.catalog.layers_of(original_id)]
        rows = self.catalog.effective_of(original_id)
        effective = None if rows is None else of_checkpoint(rows, row.model_id, row.source)
        return self._store_content(
            row, StagedLayers.without_file(layers, effective), self.catalog.ledger_of(original_id)
        )

    def _store_content(self, row: ModelRow, layers: StagedLayers, ledger: Sequence[LedgerEntry]) -> CommitOutcome:
        """Store content; `settle` decides which of the checkpoints with the same layers stores the weights."""
        digest = fingerprint(layers.rows)
        before = self.catalog.model(row.model_id)
        with self.catalog.transaction():
            if before is not None and self.catalog.fingerprint(row.model_id) != digest:
                self.ownership.transfer_ownership(before)
            elif before is not None:
                row = replace(row, layers_file=before.layers_file)
            self.catalog.put_model(replace(row, outcome="emitted" if digest else "no_kernels"), digest)
            self.catalog.put_content(row.model_id, layers.rows, ledger)
            if digest is not None:
                self.ownership.settle(self.catalog.with_layers(digest), arriving=(row.model_id, layers))
            self.catalog.put_samples(layers.samples)
            self.catalog.put_sketches(layers.sketches)
            self.catalog.put_effective(row.model_id, layers.effective)
        stored = self.ownership.row(row.model_id)
        return "shared" if stored.shares_weights else stored.outcome

    def _layers_file_missing(self, row: ModelRow, original_id: str) -> bool:
        """Tell whether the weights that a checkpoint would store are neither here nor in the last release."""
        owner = next(iter(self.catalog.with_layers(self.catalog.fingerprint(original_id) or "")), None)
        if owner is None or owner.layers_file is None:
            return False
        if not self.ownership.may_publish_weights(row) or row.ownership_key > owner.ownership_key:
            return False
        return not self.ownership.dataset.has_layers(owner.layers_file)

    def _find_old_name(self, result: CrawlResult) -> str | None:
        """Return the model id that this file had under a name that is gone: the old id stays."""
        candidates = self.removed_by_content.get((result.task.selector_id, result.file_sha256 or ""), [])
        return candidates.pop(0) if candidates else None
