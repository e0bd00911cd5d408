"""Write what came of one checkpoint into the catalog, the files first, so that a kill repeats it and loses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from filtercrawl.api.checkpoint import Checkpoint, Skipped, etag
from filtercrawl.dataset.catalog.duplicate_weights import Keepers
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.dataset.tables.model_row import (
    ContentKey,
    adopt,
    counts,
    fingerprint,
    has_weights,
    known_key,
    outcome,
    outcome_beside,
    place,
    places,
    rank,
    restated,
    stated,
    tried,
    withheld,
)
from filtercrawl.dataset.tables.staged_layers import Shard, discard
from filtercrawl.pipeline.committing.new_row import content_key, fresh, revision, same_content, selectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from filtercrawl.dataset.schema.rows import Row
    from filtercrawl.extraction.ledger import Entry
    from filtercrawl.pipeline.crawling.result import Crawled

Became = Literal["emitted", "no_kernels", "duplicate", "failed", "unchanged", "renamed", "again"]
# A failed checkpoint is tried again after one day, two, four, ... at most this many.
_LONGEST_PAUSE: Final = 32


@dataclass(kw_only=True)
class Book(Keepers):
    """Where results are written.

    by_file: the model_id of every content that is known; workers look here, so that a file that
    another checkpoint has too is not read. gone: (selector id, file sha256) -> model ids that are listed no more.
    """

    now: datetime
    version: str
    by_file: dict[ContentKey, str] = field(default_factory=dict)
    gone: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    renamed: set[str] = field(default_factory=set)

    def commit(self, crawled: Crawled) -> Became:
        """Write one result; returns what became of the checkpoint.

        `again`: it was to be linked to a checkpoint whose content has changed meanwhile, or to weights that are lost;
        so it must be read after all.
        """
        became = self._commit(crawled)
        if became in ("emitted", "duplicate", "no_kernels"):
            model_id, known = crawled.todo.model_id, crawled.todo.known
            if known is not None and self.by_file.get(known_key(known)) == model_id:
                del self.by_file[known_key(known)]  # its old content is gone
            written = self.catalog.model(model_id)
            if crawled.file_sha256 is not None and written is not None and has_weights(written):
                self.by_file.setdefault(content_key(crawled), model_id)
        return became

    def _commit(self, crawled: Crawled) -> Became:
        known = crawled.todo.known
        if crawled.reason is not None:
            return self._failed(crawled)
        if known is not None and (crawled.unchanged or same_content(crawled, known)):
            return self._unchanged(crawled, known)
        old_name = self._old_name(crawled) if crawled.todo.why == "new" else None
        if old_name is not None:
            return self._renamed(crawled, old_name)
        record = fresh(crawled, self.now, self.version)
        # Asked again: its twin may have been in another worker's hands. The tables must not depend on such luck.
        twin = crawled.same_as or self.by_file.get(content_key(crawled))
        if crawled.same_as is not None and self.by_file.get(content_key(crawled)) != crawled.same_as:
            return "again"
        if twin is not None and twin != crawled.todo.model_id:
            if not self._out_of_reach(record, twin):
                discard(crawled.shard)
                return self._linked(record | {"bytes_fetched": 0}, twin)
            if crawled.shard is None:
                del self.by_file[content_key(crawled)]
                return "again"
        assert crawled.shard is not None
        assert crawled.extracted is not None
        record |= {
            "num_params": crawled.extracted.num_params,
            "tensors_emitted": sum(entry.reason is None for entry in crawled.extracted.ledger),
            "tensors_skipped": sum(entry.reason is not None for entry in crawled.extracted.ledger),
            **counts(crawled.shard.rows),
        }
        return self._settled(record, crawled.shard, crawled.extracted.ledger)

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
                **said, **(stated(offered) if offered is not None else {}),
            }  # fmt: skip
            with self.catalog.transaction():
                self.catalog.put_model(record)
        elif offered is not None and known["license"] != offered.meta.license:
            with self.catalog.transaction():  # what is held stays unless its new licence says otherwise
                self.catalog.touch_model(known | stated(offered))

    def seen(self, model_id: str, selector_id: str, checkpoint: Checkpoint) -> None:
        """Note that a checkpoint is still offered, and what its source states of it today.

        A date, an address or the source's own notes are published with the next change; a new licence is one.
        """
        known = self.catalog.model(model_id)
        if known is None:
            return
        record = known | stated(checkpoint)
        record |= {
            "last_seen": self.now, "selectors": sorted({*(known["selectors"] or []), selector_id}),
            "etag": etag(checkpoint), "_tried": tried(checkpoint), "_files": places(checkpoint),
        }  # fmt: skip
        if restated(known, checkpoint):
            with self.catalog.transaction():
                self.catalog.touch_model(record)
        else:
            self.catalog.touch_model(record)

    # What may become of a checkpoint.

    def _failed(self, crawled: Crawled) -> Became:
        known = crawled.todo.known
        record = dict(known) | stated(crawled.todo.checkpoint) if known else fresh(crawled, self.now, self.version)
        attempts = (record["attempts"] if known is not None and crawled.todo.why == "retry" else 0) + 1
        pause = timedelta(days=min(2 ** (attempts - 1), _LONGEST_PAUSE))
        record |= {
            "outcome": "failed", "reason": crawled.reason, "attempts": attempts, "next_retry": self.now + pause,
            "_tried": tried(crawled.todo.checkpoint), "filtercrawl_version": self.version, "last_seen": self.now,
            "selectors": selectors(known, crawled),
        }  # fmt: skip
        with self.catalog.transaction():
            if known is None:
                self.catalog.put_model(record)
            else:
                self.catalog.touch_model(record)  # what was written before stays
        return "failed"

    def _unchanged(self, crawled: Crawled, known: Mapping[str, Any]) -> Became:
        """The same bytes under a new date, or sound again after a failure: the content stays."""
        discard(crawled.shard)
        checkpoint = crawled.todo.checkpoint
        record = dict(known) | stated(checkpoint)
        record |= {
            "outcome": outcome(known), "reason": None, "next_retry": None, "attempts": 0, "last_seen": self.now,
            "revision": revision(crawled), "etag": etag(checkpoint), "_version": crawled.version,
            "_tried": tried(checkpoint), "_files": places(checkpoint), "selectors": selectors(known, crawled),
        }  # fmt: skip
        if known["outcome"] == "failed":
            with self.catalog.transaction():
                self.catalog.touch_model(record)
        else:
            self.catalog.touch_model(record)  # a date alone is no reason to publish
        return "unchanged"

    def _renamed(self, crawled: Crawled, model_id: str) -> Became:
        discard(crawled.shard)
        record, checkpoint = self.catalog.model(model_id), crawled.todo.checkpoint
        assert record is not None
        old_name = record.get("_offered_as") or record["name"]
        record |= stated(checkpoint)
        record |= {
            "aliases": sorted({*(record["aliases"] or []), checkpoint.name}), "_offered_as": checkpoint.name,
            "etag": etag(checkpoint), "revision": revision(crawled), "last_seen": self.now,
            "_tried": tried(checkpoint), "_files": places(checkpoint), "_url": place(checkpoint.files[0].url),
            "file": checkpoint.files[0].path, "selectors": selectors(record, crawled),
        }  # fmt: skip
        with self.catalog.transaction():
            self.catalog.touch_model(record)
            self.catalog.put_rename(crawled.todo.source, checkpoint.name, model_id, old_name, self.now)
        self.renamed.add(model_id)
        return "renamed"

    def _linked(self, record: Row, twin_id: str) -> Became:
        """The same file as another checkpoint's: its content is known without reading."""
        twin = self.catalog.model(twin_id)
        assert twin is not None
        record |= {name: twin[name] for name in MODELS.names if name.startswith(("n_", "tensors_", "num_"))}
        record["format"] = record["format"] or twin["format"]
        rows = [adopt(row, record["model_id"], record["source"]) for row in self.catalog.layers_of(twin_id)]
        return self._settled(record, Shard.unwritten(rows), self.catalog.ledger_of(twin_id))

    def _settled(self, record: Row, shard: Shard, ledger: Sequence[Entry]) -> Became:
        """Write content; among checkpoints of one content the first in rank keeps the weights."""
        model_id, mark = record["model_id"], fingerprint(shard.rows)
        before = self.catalog.model(model_id)
        with self.catalog.transaction():
            if before is not None and self.catalog.fingerprint(model_id) != mark:
                self.promote_twin(before)
            twins = [twin for twin in self.catalog.twins(mark) if twin["model_id"] != model_id] if mark else []
            keeper = twins[0] if twins else None
            if mark is None:
                record |= {"outcome": "no_kernels", "layers_file": None}
            elif not self.may_keep(record):
                discard(shard)
                record |= withheld(keeper)
            elif keeper is None or keeper["layers_file"] is None or rank(record) < rank(keeper):
                if shard.staged is None and keeper is not None:
                    shard = self.rewritten(record, shard.rows, keeper["layers_file"])
                record |= {"outcome": "emitted", "layers_file": shard.path}
                self.place(shard)
                for twin in twins:
                    beside = {"outcome": outcome_beside(twin), "duplicate_of": model_id, "license_policy": None}
                    self.catalog.touch_model(twin | beside | {"layers_file": None})
            else:
                record |= {"outcome": "duplicate", "duplicate_of": keeper["model_id"], "layers_file": None}
                discard(shard)
            self.catalog.put_model(record, mark)
            self.catalog.put_content(model_id, shard.rows, ledger)
            self.catalog.put_samples(shard.samples)
            self.catalog.put_sketches(shard.sketches)
        became: Became = record["outcome"]
        return became

    # Smaller pieces.

    def _out_of_reach(self, record: Row, twin_id: str) -> bool:
        """Tell whether the weights that a checkpoint would keep are neither here nor where they can be fetched from."""
        keeper = next(iter(self.catalog.twins(self.catalog.fingerprint(twin_id) or "")), None)
        file = keeper["layers_file"] if keeper is not None else None
        if keeper is None or file is None or not self.may_keep(record) or rank(record) > rank(keeper):
            return False
        return not self.at_hand(file)

    def _old_name(self, crawled: Crawled) -> str | None:
        """Return the model id that this file had under a name that is gone: the old id stays."""
        candidates = self.gone.get((crawled.todo.selector_id, crawled.file_sha256 or ""), [])
        return candidates.pop(0) if candidates else None
