"""The layers of a dataset folder as they are stored: their rows, sketches, samples and kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import SAMPLES, SKETCHES
from filtercrawl_analysis.data.kernel_reader import read_kernels
from filtercrawl_analysis.data.layer_lookup import LayerRowLookup
from filtercrawl_analysis.data.sketch_backfill import SketchBuilder

Kernels = tuple[str, NDArray[np.float32]]


class ViewedLayers(Protocol):
    """The layers of a dataset in one view, each content under the `layer_sha256` that `index` has for it."""

    @property
    def index(self) -> pa.Table:
        """All rows of `index`, in its order."""
        ...

    def measured(self, rows: pa.Table) -> pa.Table:
        """Return rows of `index` with the quality columns of this view."""
        ...

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return one row of SKETCHES for each layer, in this order."""
        ...

    def samples(self, layers: Sequence[str]) -> Iterator[Kernels]:
        """Yield layer_sha256 and at most 64 kernels, float32 [k, taps], of each layer that has any."""
        ...

    def kernels(self, layers: Sequence[str]) -> Iterator[Kernels]:
        """Yield layer_sha256 and all kernels, float32 [k, taps], a layer in one or more consecutive parts."""
        ...


class StoredLayers:
    """Implements `ViewedLayers` for weights as they are stored; memory is bounded and nothing is written."""

    def __init__(self, folder: Path, store: LayerStore | None = None) -> None:
        """Open a folder; `store` has the layers files, by default the folder."""
        self.folder, self._store = folder, store

    @cached_property
    def index(self) -> pa.Table:
        """All rows of `index`, without its not-null constraints, which result tables would inherit."""
        return all_nullable(DatasetFolder(self.folder).table("index"))

    def measured(self, rows: pa.Table) -> pa.Table:
        """Return the rows as they are."""
        return rows

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return the sketches of layers, computed from their kernels where none are stored.

        Raises:
            DatasetError: A layer has neither a sketch nor kernels.
        """
        tables = list(self._sketches.tables(layers))
        known = {digest for table in tables for digest in table["layer_sha256"].to_pylist()}
        missing = [digest for digest in dict.fromkeys(layers) if digest not in known]
        if missing:
            tables.append(self._sketch_builder.get(missing, self.kernels))
        if not tables:
            return SKETCHES.empty_table()
        combined = pa.concat_tables(tables)
        rows = pc.index_in(pa.array(layers, pa.string()), combined["layer_sha256"].combine_chunks())
        if rows.null_count:
            absent = layers[rows.is_null().to_pylist().index(True)]
            raise DatasetError(f"{self.folder}: layer {absent[:16]}... has neither a sketch nor kernels")
        return combined.take(rows)

    def samples(self, layers: Sequence[str]) -> Iterator[Kernels]:
        """Yield layer_sha256 and at most 64 sampled kernels of those layers that have any."""
        done: set[str] = set()
        for table in self._samples.tables(layers):
            digests = table["layer_sha256"].to_pylist()
            ids = table["layer_id"].to_pylist()
            lists = table["values"].combine_chunks()
            values, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
            for start, stop in _runs(ids):
                if digests[start] in done:
                    continue  # the same tensor of another checkpoint
                done.add(digests[start])
                yield digests[start], values[offsets[start] : offsets[stop]].reshape(stop - start, -1)

    def kernels(self, layers: Sequence[str]) -> Iterator[Kernels]:
        """Yield layer_sha256 and kernels, in the order of the files, not of `layers`.

        Raises:
            DatasetError: A file or a layer is missing.
        """
        yield from read_kernels(self.folder, self.index, layers, self._store)

    @cached_property
    def _sketches(self) -> LayerRowLookup:
        return LayerRowLookup(files_of(self.folder, "sketches"), SKETCHES)

    @cached_property
    def _samples(self) -> LayerRowLookup:
        columns = ("layer_sha256", "layer_id", "values")
        return LayerRowLookup(files_of(self.folder, "samples"), SAMPLES, columns)

    @cached_property
    def _sketch_builder(self) -> SketchBuilder:
        return SketchBuilder(self.index)


def all_nullable(table: pa.Table) -> pa.Table:
    """Drop the not-null constraints of the schema, which result tables would inherit with the columns they take."""
    return pa.table(table.columns, names=table.column_names)


def _runs(values: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each run of equal values."""
    start, position, last = 0, 0, None
    for position, value in enumerate(values):
        if position and value != last:
            yield start, position
            start = position
        last = value
    if last is not None:
        yield start, position + 1
