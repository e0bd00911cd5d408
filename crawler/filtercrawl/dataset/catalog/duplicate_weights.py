"""Which of several checkpoints with the same layers stores the weights, and what happens when one of them goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.dataset.catalog.weight_roles import assign_roles
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

    `filtercrawl.dataset.catalog.weight_roles` says which. When the owner is removed, or its license no longer lets its
    weights be published, the next one takes them over.

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
        """Remove the weights of a checkpoint; its rows in `models`, `index` and `ledger` stay."""
        known = self.catalog.model(model_id)
        if known is None or not (known.layers_file is not None or known.shares_weights):
            return
        with self.catalog.transaction():
            self.settle([known, *self._others(known)])

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
        """Settle who stores the weights of a checkpoint whose content is about to go, among those that share them."""
        others = self._others(leaving)
        if others and leaving.layers_file is not None and not self.is_available(leaving.layers_file):
            for row in others:
                self.catalog.drop_content(row.model_id)
                self.catalog.put_model(
                    row.with_lost_weights(f"its weights were lost with {leaving.model_id}; it is read again")
                )
        elif others:
            self.settle(others, leaving.layers_file)

    def settle(
        self, members: Sequence[ModelRow], left: str | None = None, arriving: tuple[str, StagedLayers] | None = None
    ) -> None:
        """Assign the roles in a group of checkpoints with the same layers, and have its owner store the weights.

        Args:
            members: All checkpoints of the group.
            left: The layers file of a checkpoint that leaves the group.
            arriving: Model id and layers of the member that was read just now; they are discarded if not needed.
        """
        before = next((row for row in members if row.layers_file is not None), None)
        source = before.layers_file if before is not None else left
        roles = assign_roles(members, self.may_publish_weights)
        staged = arriving[1] if arriving is not None and arriving[0] == roles.owner else None
        file: str | None = None
        if staged is not None and staged.staged is not None:
            self.install_layers(staged)
            file = staged.path
        elif roles.owner is None:
            pass
        elif before is not None and before.model_id == roles.owner:
            file = source
        elif source is not None and self.is_available(source):
            file = self._copy_to(roles.rows[roles.owner], source)
        if file is None:
            roles = assign_roles(members, lambda row: False)  # noqa: ARG005 - the numbers are nowhere
        if arriving is not None:
            discard(arriving[1])
        for model_id, row in roles.rows.items():
            self.catalog.update_model(replace(row, layers_file=file if model_id == roles.owner else None))

    def _copy_to(self, owner: ModelRow, source: str) -> str | None:
        copied = self.copied_layers(owner, self.catalog.layers_of(owner.model_id), source)
        self.install_layers(copied)
        self.catalog.put_content(owner.model_id, copied.rows, self.catalog.ledger_of(owner.model_id))
        return copied.path

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

    def _others(self, row: ModelRow) -> list[ModelRow]:
        """Return the other checkpoints with the layers of one."""
        fingerprint = self.catalog.fingerprint(row.model_id)
        return [other for other in self.catalog.with_layers(fingerprint or "") if other.model_id != row.model_id]
