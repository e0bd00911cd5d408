"""Counts of what the dataset holds, made while its tables are written: a part at a time, and added up."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from filtercrawl.config.spdx import is_redistributable
from filtercrawl.dataset.files.parquet import File
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


@dataclass(kw_only=True)
class FileTotals:
    """How many files there are, and what follows from their content.

    Attributes:
        files: Number of files.
        size: Bytes of all of them.
        digests: A digest of the files of each part of the dataset that has any.
    """

    files: int = 0
    size: int = 0
    digests: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, files: Iterable[File]) -> Self:
        """Sum up files in their order."""
        listed = list(files)
        lines = "".join(f"{file.sha256} {file.path}\n" for file in listed)
        digests = [hashlib.sha256(lines.encode()).hexdigest()] if listed else []
        return cls(files=len(listed), size=sum(file.size for file in listed), digests=digests)

    def add(self, other: FileTotals) -> None:
        """Add the files of another part."""
        self.files += other.files
        self.size += other.size
        self.digests += other.digests

    @property
    def digest(self) -> str:
        """A digest of all files, in whatever order the parts were added."""
        if len(self.digests) == 1:
            return self.digests[0]
        return hashlib.sha256("".join(sorted(self.digests)).encode()).hexdigest()


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
        layer_rows: Rows of `layers` by source.
        facts: What is known of at least one layer, as the card calls it.
        redistributable: Layers files whose license lets everybody redistribute them.
        layer_files: The layers files by source, one a checkpoint.
    """

    by_source: Counter[str] = field(default_factory=Counter)
    by_kernel: Counter[str] = field(default_factory=Counter)
    by_license: Counter[str | None] = field(default_factory=Counter)
    by_task: Counter[str | None] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    layers: int = 0
    layer_rows: Counter[str] = field(default_factory=Counter)
    facts: set[str] = field(default_factory=set)
    redistributable: int = 0
    layer_files: dict[str, FileTotals] = field(default_factory=dict)

    @property
    def kernels(self) -> int:
        return self.by_source.total()

    @property
    def checkpoints(self) -> int:
        """Number of checkpoints whose weights are stored."""
        return sum(totals.files for totals in self.layer_files.values())

    @property
    def known_facts(self) -> list[str]:
        """What is known of at least one layer, in the order in which the card names it."""
        return [fact for fact in _FACTS if fact in self.facts]

    def add_layer(self, row: IndexRow) -> None:
        """Count a row of `index`."""
        if not row.stored or row.file is None:
            return
        self.layers += 1
        self.layer_rows[row.file.split("/")[2]] += row.n_parts
        self.by_source[row.source] += row.n_kernels
        self.by_kernel[row.kernel] += row.n_kernels
        self.by_task[row.task] += row.n_kernels
        self.by_license[row.license] += row.n_kernels
        self.facts |= {fact for fact, names in _FACTS.items() if any(getattr(row, name) is not None for name in names)}

    def add_model(self, row: ModelRow) -> None:
        """Count a row of `models`."""
        self.outcomes[row.outcome] += 1
        if row.layers_file is not None and is_redistributable(row.license):
            self.redistributable += 1

    def add_files(self, files: Iterable[File]) -> None:
        """Count the layers files of one part of the dataset, in their order."""
        by_source: dict[str, list[File]] = {}
        for file in files:
            by_source.setdefault(file.path.split("/")[2], []).append(file)
        for source, listed in by_source.items():
            self.layer_files.setdefault(source, FileTotals()).add(FileTotals.of(listed))

    def add(self, other: DatasetCounts) -> None:
        """Add the counts of another part of the dataset."""
        for name in ("by_source", "by_kernel", "by_license", "by_task", "outcomes", "layer_rows"):
            getattr(self, name).update(getattr(other, name))
        self.layers += other.layers
        self.redistributable += other.redistributable
        self.facts |= other.facts
        for source, totals in other.layer_files.items():
            self.layer_files.setdefault(source, FileTotals()).add(totals)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON has them."""
        content: dict[str, Any] = {}
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, Counter):  # a list: the names of an object cannot be null
                value = list(value.items())
            elif isinstance(value, set):
                value = sorted(value)
            elif isinstance(value, dict):
                value = {source: vars(totals) for source, totals in value.items()}
            content[column.name] = value
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Undo `to_json`."""
        counters = ("by_source", "by_kernel", "by_license", "by_task", "outcomes", "layer_rows")
        return cls(
            **{name: Counter(dict(content[name])) for name in counters},
            layers=content["layers"],
            facts=set(content["facts"]),
            redistributable=content["redistributable"],
            layer_files={source: FileTotals(**totals) for source, totals in content["layer_files"].items()},
        )
