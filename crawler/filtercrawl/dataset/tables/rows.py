"""What an export asks of the catalog."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from filtercrawl.dataset.files.parquet import Table
from filtercrawl.dataset.files.table_files import Part
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.listing_rows import RenameRow, SourceRow, WithdrawnRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.run_row import RunRow
from filtercrawl.dataset.tables.part_records import ExportRecord, PartPlan, PreviewPlan
from filtercrawl.dataset.tables.samples import Samples


class PartRows(Protocol):
    """The rows of the tables that have parts, as the catalog provides them."""

    def models_in(self, part: Part) -> Sequence[str]:
        """Return the ids of the checkpoints in a part, in order."""
        ...

    def models_of(self, model_ids: Iterable[str]) -> Iterator[ModelRow]:
        """Yield the rows of `models` of checkpoints, in their order."""
        ...

    def index(self, owners: Iterable[ModelRow]) -> Iterator[IndexRow]:
        """Yield the rows of `index` of checkpoints, in their order and then as in the checkpoint."""
        ...

    def ledger(self, owners: Iterable[ModelRow]) -> Iterator[LedgerRow]:
        """Yield the rows of `ledger` of checkpoints, in their order and then as in the checkpoint."""
        ...

    def samples(self, layer_sha256: str) -> Samples | None:
        """Return the kernels picked at crawl time."""
        ...

    def sketches(self, layers: Iterable[IndexRow]) -> Iterator[dict[str, Any]]:
        """Yield the rows of `sketches` of layers, in their order; of equal layers one."""
        ...

    def effective(self, owners: Iterable[ModelRow]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `effective` of checkpoints, in their order."""
        ...

    def layer_files_of(self, owners: Iterable[ModelRow]) -> Iterator[tuple[str, int, str]]:
        """Yield path, size and sha256 of the immutable files of checkpoints, as they were written."""
        ...


class Rows(PartRows, Protocol):
    """What is exported, as the catalog provides it, and what it keeps of the export before."""

    @property
    def dataset_id(self) -> str:
        """The id of the dataset, which it keeps for all its versions."""
        ...

    def spread_changes(self) -> None:
        """Count those checkpoints as changed, too, whose rows follow from the ones that changed."""
        ...

    def changed_models(self) -> list[str]:
        """Return the ids of the checkpoints whose rows have changed since the last export."""
        ...

    def plan_parts(self, changed: Sequence[str]) -> PartPlan:
        """Return the parts of the tables, and which of them have other rows than were written."""
        ...

    def plan_preview(self, changed: Collection[str], before: str) -> PreviewPlan:
        """Return the layers of `preview`, and whether they or their rows differ from those of a digest."""
        ...

    def last_export(self, parts: Iterable[Part]) -> ExportRecord:
        """Return what the last export wrote of parts, and of the preview."""
        ...

    def redistributable_files(self, parts: Iterable[Part]) -> list[Table]:
        """Return the layers files of parts that everybody may redistribute, as the last export noted them."""
        ...

    def put_export(self, plan: PartPlan, record: ExportRecord) -> None:
        """Note what an export wrote: nothing is changed any more."""
        ...

    def renames(self) -> Iterator[RenameRow]: ...

    def withdrawn(self) -> Iterator[WithdrawnRow]: ...

    def sources(self) -> Iterator[SourceRow]: ...

    def runs(self) -> Iterator[RunRow]: ...

    def layer_files(self) -> Iterator[tuple[str, int, str]]:
        """Yield path, size and sha256 of the immutable files, as they were written."""
        ...
