"""How much of a dataset each compared column covers: layers and models whose group is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from filtercrawl_analysis.statistics.groups.labels import POSITION, group_labels


@dataclass(frozen=True, kw_only=True)
class GroupCoverage:
    """What a column covers.

    Attributes:
        column: The column.
        groups: Distinct groups; with fewer than two there is nothing to compare.
        layers: Layers whose group is known.
        models: Models with such a layer.
    """

    column: str
    groups: int
    layers: int
    models: int


def group_coverage(index: pa.Table, by: Sequence[str]) -> list[GroupCoverage]:
    """Return the coverage of the columns `by` and of the position in the network, in this order."""
    models = index["model_id"].to_pylist()
    coverage = []
    for column in dict.fromkeys((*by, POSITION)):
        known = [(label, model) for label, model in zip(group_labels(index, column), models, strict=True) if label]
        coverage.append(
            GroupCoverage(
                column=column,
                groups=len({label for label, _ in known}),
                layers=len(known),
                models=len({model for _, model in known}),
            )
        )
    return coverage
