"""Training, validation and test sets of models, so that kin are in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.load.location import DatasetLocation
from filtercrawl.subsets.kin import find_kin
from filtercrawl.subsets.recipe import Splits
from filtercrawl.subsets.splits import assign_splits

# The fractions of SANE's experiments.
DEFAULT_SPLITS: Final = Splits(train=0.7, validation=0.15, test=0.15)
_COLUMNS: Final = ["model_id", "layer_sha256", "weight_kind", "norm_linf", "run_id", "family"]


@dataclass(frozen=True, kw_only=True)
class ModelSplits:
    """The group of kin of each model, and the split of each group.

    Attributes:
        groups: The first model of its group, by model.
        splits: `train`, `validation` or `test`, by group.
    """

    groups: dict[str, str]
    splits: dict[str, str]

    @classmethod
    def load(cls, location: DatasetLocation, splits: Splits = DEFAULT_SPLITS, seed: int = 0) -> Self:
        """Assign the models of a dataset, as the subsets of `filtercrawl subset` are.

        Args:
            location: The dataset.
            splits: The fractions.
            seed: Seed of the assignment.

        Raises:
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer.
        """
        location.index()
        layers = DatasetFolder(location.root, str(location)).table("index", _COLUMNS).sort_by("model_id")
        groups = dict(find_kin(location, layers, by_family=splits.disjoint_by == "family").groups)
        return cls(groups=groups, splits=assign_splits(groups.values(), splits, seed))

    def of_model(self, model_id: str) -> str:
        """Return the split of a model."""
        return self.splits[self.groups[model_id]]
