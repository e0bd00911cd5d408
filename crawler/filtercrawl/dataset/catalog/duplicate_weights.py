"""Which of several checkpoints of one content stores the weights, and what happens when one of them goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from filtercrawl.config.license_policy import METADATA, LicensePolicy
from filtercrawl.dataset.files.atomic import replace_if_changed
from filtercrawl.dataset.files.layers_reader import LayersFileReader
from filtercrawl.dataset.files.layout import TEMPORARY
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.dataset.tables.staged_layers import StagedLayers, copy_layers, discard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from filtercrawl.dataset.catalog import Catalog
    from filtercrawl.dataset.files.layer_store import LayerStore
    from filtercrawl.dataset.schema.layer_row import IndexRow
    from filtercrawl.dataset.schema.model_row import ModelRow


@dataclass(kw_only=True)
class WeightOwnership:
    """Decides which checkpoint stores the weights that several have in common.

    Among checkpoints of the same layers, the first by `ModelRow.ownership_key` stores the weights, the others are
    duplicates of it. When the owner is removed, or its license no longer lets its weights be published, the next one
    takes them over.

    Attributes:
        dataset: The dataset folder.
        catalog: Its catalog.
        license_policy: Whose weights may be published.
        layer_store: Where the layers files are stored.
    """

    dataset: Path
    catalog: Catalog
    layer_store: LayerStore
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)

    def prune(self, model_id: str, reason: str = "no longer offered by its source") -> None:
        """Remove the content of a checkpoint; its row in `models` stays and says why."""
        known = self.catalog.model(model_id)
        if known is not None and known.outcome != "withdrawn":
            with self.catalog.transaction():
                left = replace(
                    known.without_content(), outcome="skipped", reason=reason, selectors=(), file_sha256=None
                )
                self._remove_content(known, left)

    def withdraw(self, model_id: str, reason: str, when: datetime) -> None:
        """Remove the content of a checkpoint for good: it is never read again, and `withdrawn` says why."""
        known = self._known(model_id)
        with self.catalog.transaction():
            if known.outcome != "withdrawn":
                self.catalog.put_withdrawn(model_id, reason, when)
            self._remove_content(known, replace(known.without_content(), outcome="withdrawn", reason=reason))

    def fail(self, model_id: str, reason: str) -> None:
        """Remove the content of a checkpoint; it counts as failed, and is read again."""
        known = self._known(model_id)
        with self.catalog.transaction():
            left = replace(known.without_content().unread(), outcome="failed", reason=reason, num_params=None)
            self._remove_content(known, left)

    def withhold(self, model_id: str) -> None:
        """Remove the weights that a checkpoint stores; its rows in `models`, `index` and `ledger` stay."""
        known = self.catalog.model(model_id)
        if known is None or known.layers_file is None:
            return
        with self.catalog.transaction():
            duplicates = self._duplicates(known)
            wanted = any(map(self.may_publish_weights, duplicates)) and self.is_available(known.layers_file)
            owner = self._transfer(known, duplicates) if wanted else None
            if owner is not None:
                self.catalog.update_model(replace(known, outcome="duplicate", duplicate_of=owner, layers_file=None))
            else:
                for row in (known, *duplicates):
                    self.catalog.update_model(replace(row, layers_file=None, license_policy=METADATA))

    def enforce_licenses(self) -> None:
        """Remove what the dataset holds of a checkpoint beyond what its license allows, by today's policy."""
        for row in [row for row in self.catalog.models() if row.exceeds(self.license_policy.decide(row.license))]:
            reason = self.license_policy.dropped(row.license)
            if reason is not None:
                self.prune(row.model_id, reason)
            else:
                self.withhold(row.model_id)

    def may_publish_weights(self, row: ModelRow) -> bool:
        """Tell whether the weights of a checkpoint may be published."""
        return self.license_policy.decide(row.license) == "keep"

    def is_available(self, layers_file: str) -> bool:
        """Tell whether a layers file is here or can be fetched from the last release."""
        return (self.dataset / layers_file).is_file() or layers_file in self.catalog.released()

    def transfer_ownership(self, leaving: ModelRow) -> None:
        """Hand the weights of a checkpoint whose content is about to go to the next one that shares them."""
        if leaving.layers_file is not None or leaving.license_policy == METADATA:
            self._transfer(leaving, self._duplicates(leaving))

    def copied_layers(self, row: ModelRow, layers: Sequence[IndexRow], layers_file: str) -> StagedLayers:
        """Write the layers in a file of the dataset once more, as those of another checkpoint."""
        self.layer_store.fetch(layers_file)
        stored = LayersFileReader(self.dataset / layers_file)
        try:
            return copy_layers(row.model_id, row.source, layers, stored, self.dataset / TEMPORARY)
        finally:
            stored.close()

    def install_layers(self, staged: StagedLayers) -> None:
        """Move a staged layers file into the dataset."""
        if staged.staged is not None and staged.path is not None and staged.sha256 is not None:
            replace_if_changed(staged.staged, self.dataset / staged.path)
            discard(staged)
            self.catalog.put_layer_file(staged.path, staged.size, staged.sha256)

    def _known(self, model_id: str) -> ModelRow:
        known = self.catalog.model(model_id)
        assert known is not None
        return known

    def _remove_content(self, known: ModelRow, left: ModelRow) -> None:
        self.transfer_ownership(known)
        self.catalog.drop_content(known.model_id)
        self.catalog.put_model(storable(left))

    def _duplicates(self, row: ModelRow) -> list[ModelRow]:
        fingerprint = self.catalog.fingerprint(row.model_id)
        return [other for other in self.catalog.duplicates_of(fingerprint or "") if other.model_id != row.model_id]

    def _transfer(self, leaving: ModelRow, duplicates: Sequence[ModelRow]) -> str | None:
        """Make the first duplicate whose license allows it the owner; return its model_id, None if there is none."""
        if not duplicates:
            return None
        if leaving.layers_file is not None and not self.is_available(leaving.layers_file):
            for row in duplicates:
                self.catalog.drop_content(row.model_id)
                self.catalog.put_model(
                    row.with_lost_weights(f"its weights were lost with {leaving.model_id}; it is read again")
                )
            return None
        owner = min(duplicates, key=lambda row: (not self.may_publish_weights(row), row.ownership_key))
        copied = None
        if leaving.layers_file is not None and self.may_publish_weights(owner):
            copied = self.copied_layers(owner, self.catalog.layers_of(owner.model_id), leaving.layers_file)
            self.install_layers(copied)
        file = None if copied is None else copied.path
        for row in duplicates:
            changed = replace(row, license_policy=None if file is not None else METADATA)
            if row.model_id == owner.model_id:
                changed = replace(changed, layers_file=file, duplicate_of=None, outcome="emitted")
            else:
                changed = replace(changed, duplicate_of=owner.model_id)
                changed = replace(changed, outcome=changed.content_outcome)
            self.catalog.update_model(replace(changed, outcome="failed") if row.outcome == "failed" else changed)
        if copied is not None and file is not None:
            self.catalog.put_content(owner.model_id, copied.rows, self.catalog.ledger_of(owner.model_id))
        return owner.model_id
