"""The difference between two datasets as a record, as JSON and as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.api.formatting import escape_control
from filtercrawl.display import html_table
from filtercrawl_publish.comparison.snapshot import Row, SnapshotLayer
from filtercrawl_publish.rendering import text_environment

if TYPE_CHECKING:  # imports torch
    from filtercrawl_publish.comparison.statistics import StatisticsShift

__all__ = ["Difference", "LayerChurn"]

# Model ids listed per kind of change; the JSON form has them all.
_MAX_LISTED: Final = 10


@dataclass
class LayerChurn:
    """Layers and kernels added and removed; a layer whose weights changed counts as both."""

    layers_added: int = 0
    layers_removed: int = 0
    kernels_added: int = 0
    kernels_removed: int = 0

    def add(self, layer: SnapshotLayer) -> None:
        """Count an added layer."""
        self.layers_added += 1
        self.kernels_added += layer.n_kernels

    def remove(self, layer: SnapshotLayer) -> None:
        """Count a removed layer."""
        self.layers_removed += 1
        self.kernels_removed += layer.n_kernels

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass(kw_only=True)
class Difference:
    """How two datasets differ; lists of checkpoints are sorted by model id.

    Attributes:
        before: Name, dataset id, root hash and counts of the first dataset.
        after: The same of the second one.
        new: Checkpoints whose content only the second has.
        changed: Checkpoints with another file or other layers.
        gone: Checkpoints whose content only the first has, with the reason in `withdrawn` or `models`.
        kept: Checkpoints that stay although their source gives no access to them any more, with its reason.
        withdrawn: New rows of `withdrawn`.
        renamed: New rows of `renames`.
        merged: Checkpoints that became duplicates.
        promoted: Checkpoints that are duplicates no longer.
        failed: Checkpoints that fail in the second dataset only.
        licenses: Checkpoints with another license.
        effective: Checkpoints with layers of the same stored weights and other effective ones, and how many.
        metadata: Number of checkpoints that differ in a column of `models`, with examples, by column.
        kernels: Added and removed layers with stored weights, by kernel size.
        columns: Added and removed columns, by table.
        statistics: Shift of the statistics of trained kernels; None if neither dataset has sketches.
    """

    before: Row
    after: Row
    new: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    gone: list[Row] = field(default_factory=list)
    kept: list[Row] = field(default_factory=list)
    withdrawn: list[Row] = field(default_factory=list)
    renamed: list[Row] = field(default_factory=list)
    merged: list[Row] = field(default_factory=list)
    promoted: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)
    licenses: list[Row] = field(default_factory=list)
    effective: list[Row] = field(default_factory=list)
    metadata: dict[str, Row] = field(default_factory=dict)
    kernels: dict[str, LayerChurn] = field(default_factory=dict)
    columns: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    statistics: StatisticsShift | None = None

    def __bool__(self) -> bool:
        checkpoints = (self.new, self.changed, self.gone, self.withdrawn, self.renamed, self.merged, self.promoted)
        return any(
            (
                *checkpoints,
                self.kept,
                self.failed,
                self.licenses,
                self.effective,
                self.metadata,
                self.kernels,
                self.columns,
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of changes.json, without the names of the versions."""
        return {
            "before": self.before,
            "after": self.after,
            "models": {
                name: getattr(self, name)
                for name in ("new", "changed", "gone", "kept", "withdrawn", "renamed", "merged", "promoted", "failed")
            },
            "licenses": self.licenses,
            "effective": self.effective,
            "metadata": self.metadata,
            "kernels": {size: vars(churn) for size, churn in self.kernels.items()},
            "columns": self.columns,
            "movement": None if self.statistics is None else self.statistics.to_dict(),
        }

    def summary(self) -> str:
        """Return the counts of the second dataset and how they changed, in one line."""
        return ", ".join(
            f"{self.after[name]:,} {name} ({self.after[name] - self.before[name]:+,})"
            for name in ("models", "layers", "kernels")
        )

    def as_markdown(self, escape: Callable[[str], str]) -> str:
        """Return the changes as a Markdown list; empty if there are none.

        Args:
            escape: Makes text from outside harmless where the list is shown.
        """
        environment = text_environment("filtercrawl_publish.comparison", escape)
        template = environment.get_template("difference.md.j2")
        return template.render(difference=self, max_listed=_MAX_LISTED).rstrip("\n")

    def __str__(self) -> str:
        changes = self.as_markdown(escape_control) if self else "no difference"
        return f"{self.summary()}\n{changes}"

    def _repr_html_(self) -> str:
        kinds = (
            "new",
            "changed",
            "gone",
            "kept",
            "withdrawn",
            "renamed",
            "merged",
            "promoted",
            "failed",
            "licenses",
            "effective",
        )
        counts = {kind: f"{len(getattr(self, kind)):,}" for kind in kinds if getattr(self, kind)}
        caption = f"{self.before['name'] or 'nothing'} to {self.after['name']}: {self.summary()}"
        return html_table(caption, counts or {"no difference": ""})
