"""What the catalog keeps of the parts of the tables, and which of them an export has to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from filtercrawl.dataset.card.counts import DatasetCounts
from filtercrawl.dataset.card.figures import KernelPicture
from filtercrawl.dataset.files.parquet import Table
from filtercrawl.dataset.files.table_files import Part
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.partition import Size


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """What was written of one part.

    Attributes:
        counts: What its checkpoints have.
        tables: Its files, but for `preview`.
        redistributable: The layers files that everybody may redistribute, with their rows.
    """

    counts: DatasetCounts = field(default_factory=DatasetCounts)
    tables: tuple[Table, ...] = ()
    redistributable: tuple[Table, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PartPlan:
    """What an export has to write.

    Attributes:
        parts: The size of every part.
        changed: The parts whose rows have changed, or that are new.
        layout: What the partition depends on besides the checkpoints; see `PartTables.plan`.
    """

    parts: Mapping[Part, Size]
    changed: frozenset[Part]
    layout: str = ""


@dataclass(frozen=True, kw_only=True)
class PreviewPlan:
    """The layers of `preview`.

    Attributes:
        rows: Their rows of `index`, by part; of `preview` a generation is one part.
        digest: Of which layers there are.
        changed: Whether these or their rows have changed.
    """

    rows: Mapping[Part, Sequence[IndexRow]]
    digest: str
    changed: bool


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """What an export wrote.

    Attributes:
        parts: What it wrote of parts.
        preview: The files of `preview`.
        preview_digest: Of which layers these have.
        picture: What the picture on the card shows; None without one.
        subsets: Digest of each subset that fits the dataset, by folder.
    """

    parts: Mapping[Part, PartRecord] = field(default_factory=dict)
    preview: tuple[Table, ...] = ()
    preview_digest: str = ""
    picture: KernelPicture | None = None
    subsets: Mapping[str, str] = field(default_factory=dict)
