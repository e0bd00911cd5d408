"""Decide, of checkpoints with the same layers, which is a duplicate of which, and which one stores the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from filtercrawl.config.license_policy import METADATA

if TYPE_CHECKING:
    from filtercrawl.dataset.schema.model_row import ModelRow


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
