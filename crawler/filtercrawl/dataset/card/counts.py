"""Counts of what the dataset holds, made while its tables are written."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.config.spdx import is_redistributable
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.model_row import ModelRow

# Columns of `index` that the card names where a stored layer has a value, by what it calls them.
_FACTS: Final = {
    "operator": ("op",),
    "depth": ("conv_depth",),
    "task": ("task",),
    "training data": ("training_dataset", "visual_category"),
    "license": ("license",),
    "measures of quality": ("sparsity", "variance_entropy", "orthogonality"),
}


@dataclass
class DatasetCounts:
    """Counts of the layers whose weights the dataset stores, and of checkpoints by outcome.

    Attributes:
        by_source: Kernels by source.
        by_kernel: Kernels by kernel size.
        by_license: Kernels by license; None where it is unknown.
        by_task: Kernels by task; None where it is unknown.
        outcomes: Checkpoints by outcome.
        layers: Number of layers.
        files: The layers files that store them, one a checkpoint.
        layer_rows: Rows of `layers` by source.
        facts: What is known of at least one layer, as the card calls it.
        redistributable_rows: Rows of each layers file whose license lets everybody redistribute it.
    """

    by_source: Counter[str] = field(default_factory=Counter)
    by_kernel: Counter[str] = field(default_factory=Counter)
    by_license: Counter[str | None] = field(default_factory=Counter)
    by_task: Counter[str | None] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    layers: int = 0
    files: set[str] = field(default_factory=set)
    layer_rows: Counter[str] = field(default_factory=Counter)
    facts: set[str] = field(default_factory=set)
    redistributable_rows: Counter[str] = field(default_factory=Counter)

    @property
    def kernels(self) -> int:
        return self.by_source.total()

    @property
    def known_facts(self) -> list[str]:
        """What is known of at least one layer, in the order in which the card names it."""
        return [fact for fact in _FACTS if fact in self.facts]

    def add_layer(self, row: IndexRow) -> None:
        """Count a row of `index`."""
        if not row.stored or row.file is None:
            return
        self.layers += 1
        self.files.add(row.file)
        self.layer_rows[row.file.split("/")[2]] += row.n_parts
        self.by_source[row.source] += row.n_kernels
        self.by_kernel[row.kernel] += row.n_kernels
        self.by_task[row.task] += row.n_kernels
        self.by_license[row.license] += row.n_kernels
        self.facts |= {fact for fact, names in _FACTS.items() if any(getattr(row, name) is not None for name in names)}
        if is_redistributable(row.license):
            self.redistributable_rows[row.file] += row.n_parts

    def add_model(self, row: ModelRow) -> None:
        """Count a row of `models`."""
        self.outcomes[row.outcome] += 1
