"""The view of a dataset folder that analyses get: learned kernels of final checkpoints, each distinct tensor once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import INDEX, MODELS, SAMPLES, SKETCHES
from filtercrawl_analysis.data.extra_columns import with_extra_columns
from filtercrawl_analysis.data.kernel_reader import read_kernels
from filtercrawl_analysis.data.layer_lookup import LayerRowLookup
from filtercrawl_analysis.data.selection import LayerSelection, select_layers
from filtercrawl_analysis.data.sketch_backfill import SketchBuilder
from filtercrawl_analysis.statistics.groups.labels import POSITION


class FolderDatasetView:
    """The `DatasetView` of a dataset folder, read with bounded memory; nothing is written.

    `index` holds the layers that `select_layers` selects, sorted by `model_id` and `layer_id`. A folder without layers
    gives empty tables.
    """

    def __init__(
        self,
        folder: Path,
        options: AnalysisOptions | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        """Open a folder; files are read when something is asked for.

        Args:
            folder: The dataset folder.
            options: What the analyses are asked for; by default the defaults.
            progress: Called by `progress`.
        """
        self._folder = folder
        self._options = options or AnalysisOptions()
        self._progress = progress

    @property
    def options(self) -> AnalysisOptions:
        """What the analyses are asked for."""
        return self._options

    def progress(self, done: int, total: int, what: str) -> None:
        """Report how far a long step is."""
        if self._progress is not None:
            self._progress(done, total, what)

    @cached_property
    def models(self) -> pa.Table:
        """All rows of `models`."""
        return _all_nullable(DatasetFolder(self._folder).table("models"))

    @cached_property
    def index(self) -> pa.Table:
        """The rows of `index` that analyses see, with the columns of `models` that it lacks as `model_NAME`.

        So are the keys of `models.extra` by which the layers are compared.
        """
        keys = [name for name in self._options.by if name not in {*INDEX.names, *MODELS.names, POSITION}]
        return _join_models(self._full_index.take(self.selection.rows), with_extra_columns(self.models, keys))

    @cached_property
    def selection(self) -> LayerSelection:
        """Which rows of `index` these are, and why others are left out."""
        return select_layers(self._full_index)

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return the sketches of layers, computed from their kernels where none are stored.

        Args:
            layers: The layer_sha256 of each.

        Returns:
            Rows of the schema SKETCHES in the order of `layers`.

        Raises:
            DatasetError: A layer has neither a sketch nor kernels.
        """
        tables = list(self._stored_sketches.tables(layers))
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
            raise DatasetError(f"{self._folder}: layer {absent[:16]}... has neither a sketch nor kernels")
        return combined.take(rows)

    def samples(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield layer_sha256 and at most 64 sampled kernels, float32 [k, taps], of those layers that have any."""
        done: set[str] = set()
        for table in self._stored_samples.tables(layers):
            digests = table["layer_sha256"].to_pylist()
            ids = table["layer_id"].to_pylist()
            lists = table["values"].combine_chunks()
            values, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
            for start, stop in _runs(ids):
                if digests[start] in done:
                    continue  # the same tensor of another checkpoint
                done.add(digests[start])
                yield digests[start], values[offsets[start] : offsets[stop]].reshape(stop - start, -1)

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield layer_sha256 and kernels, float32 [k, taps]; a layer in one or more consecutive parts.

        In the order of the files, not of `layers`.

        Raises:
            DatasetError: A file or a layer is missing.
        """
        yield from read_kernels(self._folder, self._full_index, layers)

    @cached_property
    def _full_index(self) -> pa.Table:
        return _all_nullable(DatasetFolder(self._folder).table("index"))

    @cached_property
    def _stored_sketches(self) -> LayerRowLookup:
        return LayerRowLookup(files_of(self._folder, "sketches"), SKETCHES)

    @cached_property
    def _stored_samples(self) -> LayerRowLookup:
        return LayerRowLookup(files_of(self._folder, "samples"), SAMPLES, ("layer_sha256", "layer_id", "values"))

    @cached_property
    def _sketch_builder(self) -> SketchBuilder:
        return SketchBuilder(self._full_index)


def _all_nullable(table: pa.Table) -> pa.Table:
    """Drop the not-null constraints of the schema, which result tables would inherit with the columns they take."""
    return pa.table(table.columns, names=table.column_names)


def _join_models(index: pa.Table, models: pa.Table) -> pa.Table:
    """Add the columns of `models` that `index` lacks, as model_NAME."""
    rows = pc.index_in(index["model_id"].combine_chunks(), models["model_id"].combine_chunks())
    for name in models.column_names:
        if name not in INDEX.names:
            index = index.append_column(f"model_{name}", models[name].take(rows))
    return index


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
