"""Write what came of one checkpoint into the catalog, the files first, so that a kill repeats it and loses nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped, combined_etag
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.rows import Row
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.dataset.tables.model_row import (
    ContentKey,
    attempted_version,
    duplicate_outcome,
    file_etags,
    fingerprint,
    has_weights,
    kernel_counts,
    known_key,
    mark_withheld,
    outcome,
    ownership_key,
    public_url,
    rebase_layer_row,
    source_columns,
    source_columns_changed,
)
from filtercrawl.dataset.tables.staged_layers import StagedLayers, discard
from filtercrawl.extraction.ledger import LedgerEntry
from filtercrawl.pipeline.committing.new_row import content_key, new_model_row, revision, same_content, selectors
from filtercrawl.pipeline.crawling.result import CrawlResult

CommitOutcome = Literal["emitted", "no_kernels", "duplicate", "failed", "unchanged", "renamed", "again"]
# A failed checkpoint is tried again after one day, two, four, ... at most this many.
_MAX_RETRY_DAYS: Final = 32


@dataclass(kw_only=True)
class CatalogWriter(WeightOwnership):
    """Where results are written.

    model_by_content: the model_id of every content that is known; workers look here, so that a file that
    another checkpoint has too is not read. gone: (selector id, file sha256) -> model ids that are listed no more.
    """

    now: datetime
    version: str
    model_by_content: dict[ContentKey, str] = field(default_factory=dict)
    removed_by_content: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)

    def commit(self, result: CrawlResult) -> CommitOutcome:
        """Write one result; returns what became of the checkpoint.

        `again`: it was to be linked to a checkpoint whose content has changed meanwhile, or to weights that are lost;
        so it must be read after all.
        """
        became = self._commit(result)
        if became in ("emitted", "duplicate", "no_kernels"):
            model_id, known = result.task.model_id, result.task.previous
            if known is not None and self.model_by_content.get(known_key(known)) == model_id:
                del self.model_by_content[known_key(known)]  # its old content is gone
            written = self.catalog.model(model_id)
            if result.file_sha256 is not None and written is not None and has_weights(written):
                self.model_by_content.setdefault(content_key(result), model_id)
        return became

    def _commit(self, result: CrawlResult) -> CommitOutcome:
        known = result.task.previous
        if result.error is not None:
            return self._store_failure(result)
        if known is not None and (result.unchanged or same_content(result, known)):
            return self._store_unchanged(result, known)
        old_name = self._find_old_name(result) if result.task.action == "new" else None
        if old_name is not None:
            return self._store_rename(result, old_name)
        record = new_model_row(result, self.now, self.version)
        # Asked again: its twin may have been in another worker's hands. The tables must not depend on such luck.
        twin = result.duplicate_of or self.model_by_content.get(content_key(result))
        if result.duplicate_of is not None and self.model_by_content.get(content_key(result)) != result.duplicate_of:
            return "again"
        if twin is not None and twin != result.task.model_id:
            if not self._layers_file_missing(record, twin):
                discard(result.layers)
                return self._store_duplicate(record | {"bytes_fetched": 0}, twin)
            if result.layers is None:
                del self.model_by_content[content_key(result)]
                return "again"
        assert result.layers is not None
        assert result.tensors is not None
        record |= {
            "num_params": result.tensors.num_params,
            "tensors_emitted": sum(entry.reason is None for entry in result.tensors.ledger),
            "tensors_skipped": sum(entry.reason is not None for entry in result.tensors.ledger),
            **kernel_counts(result.layers.rows),
        }
        return self._store_content(record, result.layers, result.tensors.ledger)

    def skip(self, source: str, selector_id: str, skipped: Skipped, offered: Checkpoint | None = None) -> None:
        """Note a checkpoint that its source does not offer; one that the dataset holds stays as it is.

        offered: what it was before something else than its source decided to leave it out.
        """
        model_id = f"{source}/{skipped.name}"
        known = self.catalog.model(model_id)
        said = storable({"reason": skipped.reason, "revision": skipped.revision})
        before = None if known is None else {name: known[name] for name in said}
        if known is None or (known["outcome"] == "skipped" and before != said):
            record = dict.fromkeys(MODELS.names) | {
                "model_id": model_id, "source": source, "name": skipped.name, "outcome": "skipped", "attempts": 0,
                "selectors": [selector_id], "filtercrawl_version": self.version,
                "first_seen": known["first_seen"] if known else self.now, "last_seen": self.now,
                **said, **(source_columns(offered) if offered is not None else {}),
            }  # fmt: skip
            with self.catalog.transaction():
                self.catalog.put_model(record)
        elif offered is not None and known["license"] != offered.meta.license:
            with self.catalog.transaction():  # what is held stays unless its new licence says otherwise
                self.catalog.update_model(known | source_columns(offered))

    def mark_seen(self, model_id: str, selector_id: str, checkpoint: Checkpoint) -> None:
        """Note that a checkpoint is still offered, and what its source states of it today.

        A date, an address or the source's own notes are published with the next change; a new licence is one.
        """
        known = self.catalog.model(model_id)
        if known is None:
            return
        record = known | source_columns(checkpoint)
        record |= {
            "last_seen": self.now, "selectors": sorted({*(known["selectors"] or []), selector_id}),
            "etag": combined_etag(checkpoint), "_tried": attempted_version(checkpoint),
            "_files": file_etags(checkpoint),
        }  # fmt: skip
        if source_columns_changed(known, checkpoint):
            with self.catalog.transaction():
                self.catalog.update_model(record)
        else:
            self.catalog.update_model(record)

    # What may become of a checkpoint.

    def _store_failure(self, result: CrawlResult) -> CommitOutcome:
        known = result.task.previous
        record = (
            dict(known) | source_columns(result.task.checkpoint)
            if known
            else new_model_row(result, self.now, self.version)
        )
        attempts = (record["attempts"] if known is not None and result.task.action == "retry" else 0) + 1
        pause = timedelta(days=min(2 ** (attempts - 1), _MAX_RETRY_DAYS))
        record |= {
            "outcome": "failed", "reason": result.error, "attempts": attempts, "next_retry": self.now + pause,
            "_tried": attempted_version(result.task.checkpoint), "filtercrawl_version": self.version,
            "last_seen": self.now,
            "selectors": selectors(known, result),
        }  # fmt: skip
        with self.catalog.transaction():
            if known is None:
                self.catalog.put_model(record)
            else:
                self.catalog.update_model(record)  # what was written before stays
        return "failed"

    def _store_unchanged(self, result: CrawlResult, known: Mapping[str, Any]) -> CommitOutcome:
        """The same bytes under a new date, or sound again after a failure: the content stays."""
        discard(result.layers)
        checkpoint = result.task.checkpoint
        record = dict(known) | source_columns(checkpoint)
        record |= {
            "outcome": outcome(known), "reason": None, "next_retry": None, "attempts": 0, "last_seen": self.now,
            "revision": revision(result), "etag": combined_etag(checkpoint), "_version": result.version,
            "_tried": attempted_version(checkpoint), "_files": file_etags(checkpoint), "selectors": selectors(known,
            result),
        }  # fmt: skip
        if known["outcome"] == "failed":
            with self.catalog.transaction():
                self.catalog.update_model(record)
        else:
            self.catalog.update_model(record)  # a date alone is no reason to publish
        return "unchanged"

    def _store_rename(self, result: CrawlResult, model_id: str) -> CommitOutcome:
        discard(result.layers)
        record, checkpoint = self.catalog.model(model_id), result.task.checkpoint
        assert record is not None
        old_name = record.get("_offered_as") or record["name"]
        record |= source_columns(checkpoint)
        record |= {
            "aliases": sorted({*(record["aliases"] or []), checkpoint.name}), "_offered_as": checkpoint.name,
            "etag": combined_etag(checkpoint), "revision": revision(result), "last_seen": self.now,
            "_tried": attempted_version(checkpoint), "_files": file_etags(checkpoint),
            "_url": public_url(checkpoint.files[0].url),
            "file": checkpoint.files[0].path, "selectors": selectors(record, result),
        }  # fmt: skip
        with self.catalog.transaction():
            self.catalog.update_model(record)
            self.catalog.put_rename(result.task.source, checkpoint.name, model_id, old_name, self.now)
        self.renamed.add(model_id)
        return "renamed"

    def _store_duplicate(self, record: Row, owner_id: str) -> CommitOutcome:
        """The same file as another checkpoint's: its content is known without reading."""
        twin = self.catalog.model(owner_id)
        assert twin is not None
        record |= {name: twin[name] for name in MODELS.names if name.startswith(("n_", "tensors_", "num_"))}
        record["format"] = record["format"] or twin["format"]
        rows = [rebase_layer_row(row, record["model_id"], record["source"]) for row in self.catalog.layers_of(owner_id)]
        return self._store_content(record, StagedLayers.without_file(rows), self.catalog.ledger_of(owner_id))

    def _store_content(self, record: Row, shard: StagedLayers, ledger: Sequence[LedgerEntry]) -> CommitOutcome:
        """Write content; among checkpoints of one content the first in rank keeps the weights."""
        model_id, mark = record["model_id"], fingerprint(shard.rows)
        before = self.catalog.model(model_id)
        with self.catalog.transaction():
            if before is not None and self.catalog.fingerprint(model_id) != mark:
                self.transfer_ownership(before)
            twins = [twin for twin in self.catalog.duplicates_of(mark) if twin["model_id"] != model_id] if mark else []
            keeper = twins[0] if twins else None
            if mark is None:
                record |= {"outcome": "no_kernels", "layers_file": None}
            elif not self.may_publish_weights(record):
                discard(shard)
                record |= mark_withheld(keeper)
            elif keeper is None or keeper["layers_file"] is None or ownership_key(record) < ownership_key(keeper):
                if shard.staged is None and keeper is not None:
                    shard = self.copied_layers(record, shard.rows, keeper["layers_file"])
                record |= {"outcome": "emitted", "layers_file": shard.path}
                self.install_layers(shard)
                for twin in twins:
                    beside = {"outcome": duplicate_outcome(twin), "duplicate_of": model_id, "license_policy": None}
                    self.catalog.update_model(twin | beside | {"layers_file": None})
            else:
                record |= {"outcome": "duplicate", "duplicate_of": keeper["model_id"], "layers_file": None}
                discard(shard)
            self.catalog.put_model(record, mark)
            self.catalog.put_content(model_id, shard.rows, ledger)
            self.catalog.put_samples(shard.samples)
            self.catalog.put_sketches(shard.sketches)
        became: CommitOutcome = record["outcome"]
        return became

    # Smaller pieces.

    def _layers_file_missing(self, record: Row, owner_id: str) -> bool:
        """Tell whether the weights that a checkpoint would keep are neither here nor where they can be fetched from."""
        keeper = next(iter(self.catalog.duplicates_of(self.catalog.fingerprint(owner_id) or "")), None)
        file = keeper["layers_file"] if keeper is not None else None
        if (
            keeper is None
            or file is None
            or not self.may_publish_weights(record)
            or ownership_key(record) > ownership_key(keeper)
        ):
            return False
        return not self.is_available(file)

    def _find_old_name(self, result: CrawlResult) -> str | None:
        """Return the model id that this file had under a name that is gone: the old id stays."""
        candidates = self.removed_by_content.get((result.task.selector_id, result.file_sha256 or ""), [])
        return candidates.pop(0) if candidates else None
