"""Assign models to train, validation and test, so that kin are together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from filtercrawl.dataset.files.subset_folders import SPLITS
from filtercrawl.subsets.picks import share
from filtercrawl.subsets.recipe import Splits


def assign_splits(groups: Iterable[str], splits: Splits, seed: int) -> dict[str, str]:
    """Return the split of each group of kin.

    A group is assigned by a hash of the seed and its name alone: models that a later version adds move no other group,
    unless they tie two groups together. So the fractions are those of many groups, and of a few only roughly.

    Args:
        groups: Names of groups, as `Kin.groups` has them.
        splits: The fractions.
        seed: The seed of the recipe.
    """
    fractions: Mapping[str, float] = splits.fractions
    ends = dict(zip(SPLITS, accumulate(fractions.values()), strict=True))
    last = [name for name in SPLITS if fractions[name] > 0][-1]
    found = {}
    for group in sorted(set(groups)):
        place = share(seed, "split", group)
        found[group] = next((name for name in SPLITS if fractions[name] > 0 and place < ends[name]), last)
    return found
