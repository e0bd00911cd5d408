"""Which of several checkpoints with the same layers stores the weights, and what happens when one of them goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from filtercrawl.config.license_policy import METADATA, LicensePolicy
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.dataset.tables.staged_layers import StagedLayers, discard


@dataclass(kw_only=True)
class WeightOwnership:
    """Decides which checkpoint stores the weights that several have in common.

    `assign_roles` says which. When the owner is removed, or its license no longer lets its
    weights be published, the next one takes them over.

    Attributes:
        dataset: The dataset.
        license_policy: Whose weights may be published.
    """

    dataset: WritableDataset
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)

    def prune(self, model_id: str, reason: str = "no longer offered by its source") -> None:
        """Remove the content of a checkpoint; its row in `models` stays and says why."""
        known = self.dataset.catalog.model(model_id)
        if known is not None and known.outcome != "withdrawn":
            with self.dataset.catalog.transaction():
                left = replace(
                    known.without_content(), outcome="skipped", reason=reason, selectors=(), file_sha256=None
                )
                self._remove_content(known, left)

    def withdraw(self, model_id: str, reason: str, when: datetime) -> None:
        """Remove the content of a checkpoint for good: it is never read again, and `withdrawn` says why."""
        known = self.row(model_id)
        with self.dataset.catalog.transaction():
            if known.outcome != "withdrawn":
                self.dataset.catalog.put_withdrawn(model_id, reason, when)
            self._remove_content(known, replace(known.without_content(), outcome="withdrawn", reason=reason))

    def fail(self, model_id: str, reason: str) -> None:
        """Remove the content of a checkpoint; it counts as failed, and is read again."""
        known = self.row(model_id)
        with self.dataset.catalog.transaction():
            left = replace(known.without_content().unread(), outcome="failed", reason=reason, num_params=None)
            self._remove_content(known, left)

    def withhold(self, model_id: str) -> None:
        """Remove the weights of a checkpoint; its rows in `models`, `index` and `ledger` stay."""
        known = self.dataset.catalog.model(model_id)
        if known is None or not (known.layers_file is not None or known.shares_weights):
            return
        with self.dataset.catalog.transaction():
            self.settle([known, *self._others(known)])

    def enforce_licenses(self) -> None:
        """Remove what the dataset holds of a checkpoint beyond what its license allows, by today's policy."""
        catalog, decide = self.dataset.catalog, self.license_policy.decide
        policies = {license_id: decide(license_id) for license_id in catalog.held_licenses()}
        rows = [
            row
            for license_id, policy in policies.items()
            if policy != "keep"
            for row in catalog.models_beyond(license_id, policy)
        ]
        for row in sorted(rows, key=lambda row: row.model_id):
            reason = self.license_policy.dropped(row.license)
            if reason is not None:
                self.prune(row.model_id, reason)
            else:
                self.withhold(row.model_id)

    def may_publish_weights(self, row: ModelRow) -> bool:
        """Tell whether the weights of a checkpoint may be published."""
        return self.license_policy.decide(row.license) == "keep"

    def transfer_ownership(self, leaving: ModelRow) -> None:
        """Settle who stores the weights of a checkpoint whose content is about to go, among those that share them."""
        others = self._others(leaving)
        if others and leaving.layers_file is not None and not self.dataset.has_layers(leaving.layers_file):
            for row in others:
                self.dataset.catalog.drop_content(row.model_id)
                self.dataset.catalog.put_model(
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
        if staged is not None and staged.path is not None:
            self.dataset.install_layers(staged)
            file = staged.path
        elif roles.owner is None:
            pass
        elif before is not None and before.model_id == roles.owner:
            file = source
        elif source is not None and self.dataset.has_layers(source):
            file = self._copy_to(roles.rows[roles.owner], source)
        if file is None:
            roles = assign_roles(members, lambda row: False)  # noqa: ARG005 - the numbers are nowhere
        if arriving is not None:
            discard(arriving[1])
        for model_id, row in roles.rows.items():
            self.dataset.catalog.update_model(replace(row, layers_file=file if model_id == roles.owner else None))

    def _copy_to(self, owner: ModelRow, source: str) -> str | None:
        copied = self.dataset.copy_layers(owner, self.dataset.catalog.layers_of(owner.model_id), source)
        self.dataset.install_layers(copied)
        self.dataset.catalog.put_content(owner.model_id, copied.rows, self.dataset.catalog.ledger_of(owner.model_id))
        return copied.path

    def row(self, model_id: str) -> ModelRow:
        """Return the row of a checkpoint that the catalog has."""
        known = self.dataset.catalog.model(model_id)
        assert known is not None
        return known

    def _remove_content(self, known: ModelRow, left: ModelRow) -> None:
        self.transfer_ownership(known)
        self.dataset.catalog.drop_content(known.model_id)
        self.dataset.catalog.put_model(storable(left))

    def _others(self, row: ModelRow) -> list[ModelRow]:
        """Return the other checkpoints with the layers of one."""
        fingerprint = self.dataset.catalog.fingerprint(row.model_id)
        return [
            other for other in self.dataset.catalog.with_layers(fingerprint or "") if other.model_id != row.model_id
        ]


@dataclass(frozen=True, kw_only=True)
class WeightRoles:
    """What each checkpoint of one group of equal layers is.

    Attributes:
        rows: By model id the row with its outcome, `duplicate_of` and `license_policy`, and without a layers file.
        owner: Model id of the checkpoint that stores the weights; None if no license lets them be published.
    """

    rows: Mapping[str, ModelRow]
    owner: str | None


def assign_roles(members: Sequence[ModelRow], may_publish: Callable[[ModelRow], bool]) -> WeightRoles:
    """Decide the roles in a group of checkpoints with the same layers; the order of `members` does not matter.

    Duplicates have the same file, or all their tensors are equal, name for name. Of these the first by
    `ModelRow.ownership_key` is emitted, and the others are duplicates of it; one whose license lets its weights be
    published comes before one whose license does not. Checkpoints that are no duplicates of each other are all emitted.
    The first of those stores the weights for all.

    Args:
        members: Rows of `models` of the group.
        may_publish: Tells whether the weights of a checkpoint may be published.
    """
    rows: dict[str, ModelRow] = {}
    emitted: list[ModelRow] = []
    for same in duplicate_sets(members):
        first = min(same, key=lambda row: (not may_publish(row), row.ownership_key))
        policy = None if may_publish(first) else METADATA
        if policy is None:
            emitted.append(first)
        for row in same:
            is_first = row.model_id == first.model_id
            changed = replace(
                row, layers_file=None, duplicate_of=None if is_first else first.model_id, license_policy=policy
            )
            outcome = row.outcome if row.outcome == "failed" else "emitted" if is_first else "duplicate"
            rows[row.model_id] = replace(changed, outcome=outcome)
    owner = min(emitted, key=lambda row: row.ownership_key, default=None)
    return WeightRoles(rows=rows, owner=None if owner is None else owner.model_id)


def duplicate_sets(members: Sequence[ModelRow]) -> list[list[ModelRow]]:
    """Split checkpoints into sets of duplicates."""
    sets: list[list[ModelRow]] = []
    for row in members:
        joined = [row]
        others = []
        for known in sets:
            if any(are_duplicates(row, other) for other in known):
                joined += known
            else:
                others.append(known)
        sets = [*others, joined]
    return sets


def are_duplicates(one: ModelRow, other: ModelRow) -> bool:
    """Tell whether two checkpoints with the same layers have the same file, or the same tensors by the same names."""
    if one.file_sha256 is not None and one.content_key[:2] == other.content_key[:2]:
        return True
    return one.state.tensors is not None and one.state.tensors == other.state.tensors
