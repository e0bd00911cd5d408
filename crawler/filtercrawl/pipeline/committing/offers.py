"""Record what the sources offer: which checkpoints were seen, which are left out, and which are gone."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from filtercrawl.api.checkpoint import Checkpoint, Skipped, combined_etag
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.schema.listing_rows import SourceRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.pipeline.committing.final_steps import update_run_final
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.opt_out import REASON as OPTED_OUT
from filtercrawl.pipeline.model_rows import seen_row, source_metadata_changed, with_source_metadata
from filtercrawl.pipeline.records import Plan


@dataclass(frozen=True, kw_only=True)
class OfferRecorder:
    """Records what the sources offer, once the tasks of the run are committed.

    Attributes:
        catalog: The catalog.
        ownership: Removes content that may not be kept.
        now: The time of the run.
        version: The version of filtercrawl.
        plugin_of: The plugin that provides each source.
        prune: Remove the content of checkpoints that are no longer offered.
    """

    catalog: Catalog
    ownership: WeightOwnership
    now: datetime
    version: str
    plugin_of: Mapping[str, str]
    prune: bool = False

    def record(self, plan: Plan, listings: Sequence[Listing], renamed: Collection[str] = ()) -> list[str]:
        """Record what was listed; remove what may not be kept.

        Args:
            plan: The plan of the run.
            listings: What the selectors offer.
            renamed: Model ids that are offered under a new name, and so are not gone.

        Returns:
            The model ids that are no longer offered.
        """
        for model_id in plan.opted_out:
            self.ownership.prune(model_id, OPTED_OUT)
        for source, selector_id, skipped in plan.skipped:
            offered = plan.seen.get(f"{source}/{skipped.name}")
            self._skip(source, selector_id, skipped, offered[1] if offered else None)
        for model_id in plan.unchanged:
            self._mark_seen(model_id, *plan.seen[model_id])
        for listing in listings:
            self._put_listing(listing)
        gone = sorted(plan.removed_models - set(renamed))
        for model_id in gone:
            if self.prune:
                self.ownership.prune(model_id)
        update_run_final(self.catalog, plan)
        self.ownership.enforce_licenses()
        return gone

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

    def _mark_seen(self, model_id: str, selector_id: str, checkpoint: Checkpoint) -> None:
        """Note that a checkpoint is still offered, and what its source states of it today.

        A date, an address or the source's own notes are published with the next change; a new license is one.
        """
        known = self.catalog.model(model_id)
        if known is None:
            return
        row = replace(
            seen_row(known, checkpoint, self.now),
            etag=combined_etag(checkpoint),
            selectors=tuple(sorted({*(known.selectors or ()), selector_id})),
        )
        if source_metadata_changed(known, checkpoint):
            with self.catalog.transaction():
                self.catalog.update_model(row)
        else:
            self.catalog.update_model(row)
