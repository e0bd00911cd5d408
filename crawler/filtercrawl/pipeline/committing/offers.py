"""Record what the sources offer: which checkpoints were seen, which are left out, and which are gone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from filtercrawl.api.checkpoint import Checkpoint, Skipped, combined_etag
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.catalog.known_models import batches
from filtercrawl.dataset.schema.listing_rows import SourceRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.pipeline.committing.final_steps import RunKey, update_run_final
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.opt_out import REASON as OPTED_OUT
from filtercrawl.pipeline.model_rows import seen_row, source_metadata_changed, with_source_metadata
from filtercrawl.pipeline.planning.plan import Planner
from filtercrawl.pipeline.records import Plan


@dataclass(frozen=True, kw_only=True)
class OfferRecorder:
    """Records what the sources offer, once the tasks of the run are committed.

    Attributes:
        catalog: The catalog.
        ownership: Removes content that may not be kept.
        planner: Tells what the next run would do with an offer.
        now: The time of the run.
        version: The version of filtercrawl.
        plugin_of: The plugin that provides each source.
        prune: Remove the content of checkpoints that are no longer offered.
    """

    catalog: Catalog
    ownership: WeightOwnership
    planner: Planner
    now: datetime
    version: str
    plugin_of: Mapping[str, str]
    prune: bool = False

    def record(self, plan: Plan, listings: Sequence[Listing], renamed: Collection[str] = ()) -> list[str]:
        """Record what was listed; remove what may not be kept.

        Args:
            plan: The plan of the run.
            listings: What the selectors offer.
            renamed: Model ids that are offered under a new name, or may be, and so are not gone.

        Returns:
            The model ids that are no longer offered.
        """
        for model_id in plan.opted_out:
            self.ownership.prune(model_id, OPTED_OUT)
        for model_id in sorted(plan.dropped):
            self.ownership.prune(model_id, f"no longer accessible: {plan.restricted[model_id]}")
        self._record_restricted(plan)
        self._record_skipped(plan)
        changed_runs = self._record_unchanged(plan, {found.selector.id for found in listings if found.problem is None})
        for listing in listings:
            self._record_listing(plan, listing)
        gone = sorted(plan.removed_models - set(renamed))
        for model_id in gone:
            if self.prune:
                self.ownership.prune(model_id)
        update_run_final(self.catalog, plan, changed_runs)
        self.ownership.enforce_licenses()
        self._remember_offers(plan)
        return gone

    def _record_restricted(self, plan: Plan) -> None:
        """Note of what is kept why there is no access any more; once it is offered again, its row is looked at."""
        for batch in batches(sorted(plan.restricted.keys() - plan.dropped)):
            for known in list(self.catalog.models_by_id(batch)):
                reason = plan.restricted[known.model_id]
                if known.state.restricted == reason:
                    continue
                with self.catalog.transaction():
                    row = replace(known, state=replace(known.state, restricted=reason))
                    self.catalog.update_model(storable(row))
                for selector_id in known.selectors or ():
                    self.catalog.put_offers(selector_id, {known.model_id: None})

    def _record_skipped(self, plan: Plan) -> None:
        by_selector: defaultdict[str, list[tuple[str, Skipped]]] = defaultdict(list)
        for source, selector_id, skipped in plan.skipped:
            by_selector[selector_id].append((source, skipped))
        for selector_id, skips in by_selector.items():
            for batch in batches(skips):
                digests = {f"{source}/{skip.name}": self.planner.digest.of(skip) for source, skip in batch}
                before = self.catalog.offers_of(selector_id, list(digests))
                for source, skip in batch:
                    model_id = f"{source}/{skip.name}"
                    if before.get(model_id) != digests[model_id]:
                        offered = plan.seen.get(model_id)
                        self._skip(source, selector_id, skip, offered[1] if offered else None)
                self.catalog.put_offers(selector_id, digests)

    def _record_unchanged(self, plan: Plan, complete: Set[str]) -> set[RunKey]:
        """Record what is offered and was not read again; returns the training runs that it was part of before.

        A row is written where something else than the time of the listing changed. Published is it for what readers
        should learn without delay, such as a new license; a date, an address or the source's own notes wait for the
        next change.

        Args:
            plan: The plan of the run.
            complete: Ids of the selectors that were listed in full: these note the time.
        """
        runs: set[RunKey] = set()
        for batch in batches(plan.unchanged):
            noted: list[ModelRow] = []
            for known in list(self.catalog.models_by_id(batch)):
                selector_id, checkpoint = plan.seen[known.model_id]
                row = replace(
                    seen_row(known, checkpoint, self.now),
                    etag=combined_etag(checkpoint),
                    selectors=tuple(sorted({*(known.selectors or ()), selector_id})),
                )
                if known.run_id is not None:
                    runs.add((known.source, known.run_id))
                if source_metadata_changed(known, checkpoint):
                    with self.catalog.transaction():
                        self.catalog.update_model(row)
                elif selector_id not in complete or replace(row, last_seen=known.last_seen) != known:
                    noted.append(row)
            self.catalog.put_seen(noted)
        return runs

    def _record_listing(self, plan: Plan, listing: Listing) -> None:
        selector_id = listing.selector.id
        if listing.problem is None:
            self.catalog.put_gone(selector_id, [model_id for model_id, lacks in plan.gone if lacks == selector_id])
        else:
            seen = (model_id for model_id, _ in self.catalog.listed_by(selector_id) if model_id in plan.settled)
            self.catalog.put_last_seen(list(seen), self.now)
        self._put_listing(listing)

    def _remember_offers(self, plan: Plan) -> None:
        """Remember what is offered of each checkpoint: the next run has nothing to do where it is the same."""
        refused = plan.refused
        for batch in batches(plan.seen.items()):
            offers = {model_id: offered for model_id, offered in batch if model_id not in refused}
            rows = {row.model_id: row for row in self.catalog.models_by_id(offers)}
            digests: defaultdict[str, dict[str, bytes | None]] = defaultdict(dict)
            for model_id, (selector_id, checkpoint) in offers.items():
                row = rows.get(model_id)
                if row is not None:
                    is_settled = self.planner.is_settled(checkpoint, row)
                    digests[selector_id][model_id] = self.planner.digest.of(checkpoint) if is_settled else None
            for selector_id, offered in digests.items():
                self.catalog.put_offers(selector_id, offered)

    def _put_listing(self, listing: Listing) -> None:
        selector = listing.selector
        self.catalog.put_selector(
            SourceRow(
                selector_id=selector.id,
                source=selector.source,
                selector=str(selector),
                plugin=self.plugin_of[selector.source],
                listed=self.now if listing.problem is None else None,
                n_offered=len(listing.checkpoints),
                ignored=json.dumps(listing.ignored, sort_keys=True) if listing.ignored else None,
            )
        )

    def _skip(self, source: str, selector_id: str, skipped: Skipped, offered: Checkpoint | None = None) -> None:
        """Note a checkpoint that its source does not offer; one that the dataset holds stays as it is.

        Args:
            source: The source.
            selector_id: The selector that listed it.
            skipped: What the source says.
            offered: What the source offered, where it was left out for another reason than the source's own.
        """
        model_id = f"{source}/{skipped.name}"
        known = self.catalog.model(model_id)
        row = storable(
            ModelRow(
                model_id=model_id,
                source=source,
                name=skipped.name,
                outcome="skipped",
                reason=skipped.reason,
                revision=skipped.revision,
                selectors=(selector_id,),
                filtercrawl_version=self.version,
                first_seen=known.first_seen if known else self.now,
                last_seen=self.now,
            )
        )
        stated_before = known is not None and (known.reason, known.revision) == (row.reason, row.revision)
        if known is None or (known.outcome == "skipped" and not stated_before):
            with self.catalog.transaction():
                self.catalog.put_model(row if offered is None else with_source_metadata(row, offered))
        elif offered is not None and known.license != offered.meta.license:
            with self.catalog.transaction():  # what is held stays unless its new license says otherwise
                self.catalog.update_model(with_source_metadata(known, offered))
