"""What a dataset folder holds, as analyses see it: learned kernels of final checkpoints, each distinct tensor once."""

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
from filtercrawl.api.vocabulary import TRAINED
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.schema.arrow import INDEX, MODELS, SAMPLES, SKETCHES
from filtercrawl_analysis.data.kernel_reader import kernels_of
from filtercrawl_analysis.data.layer_lookup import LayerRowLookup, open_parquet
from filtercrawl_analysis.data.sketch_backfill import SketchBuilder


class FolderDatasetView:
    """The `DatasetView` of a dataset folder, read with bounded memory and written to by nobody.

    Of `index` it keeps layers that are learned (`weight_kind` learned or standardized), were read (`layer_sha256` is
    known), belong to a final checkpoint (`run_final` is not false) and are the first of their `layer_sha256`: the one
    whose weight is stored, else the first in the order of the dataset. A folder without layers gives empty tables.
    """

    def __init__(
        self,
        folder: Path,
        options: AnalysisOptions | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self._folder = folder
        self._options = options or AnalysisOptions()
        self._progress = progress

    @property
    def options(self) -> AnalysisOptions:
        return self._options

    def progress(self, done: int, total: int, what: str) -> None:
        if self._progress is not None:
            self._progress(done, total, what)

    @cached_property
    def models(self) -> pa.Table:
        return _read(self._folder / "data/models.parquet", MODELS)

    @cached_property
    def index(self) -> pa.Table:
        return _joined(self._all.take(pa.array(_chosen(self._all), pa.int64())), self.models)

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return the sketches of these layers in this order, by SKETCHES.

        A layer without one, as in a dataset of an older version, is sketched from its kernels, once a run. Raises
        DatasetError where it has no kernels either.
        """
        tables = list(self._stored_sketches.tables(layers))
        known = {digest for table in tables for digest in table["layer_sha256"].to_pylist()}
        missing = [digest for digest in dict.fromkeys(layers) if digest not in known]
        if missing:
            tables.append(self._made.get(missing, self.kernels))
        if not tables:
            return SKETCHES.empty_table()
        whole = pa.concat_tables(tables)
        places = pc.index_in(pa.array(layers, pa.string()), whole["layer_sha256"].combine_chunks())
        if places.null_count:
            lacking = layers[places.is_null().to_pylist().index(True)]
            raise DatasetError(f"{self._folder}: the layer {lacking[:16]}... has neither a sketch nor kernels")
        return whole.take(places)

    def samples(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield (layer_sha256, at most 64 kernels float32 [k, taps]) for those of these layers that have any."""
        done: set[str] = set()
        for table in self._stored_samples.tables(layers):
            names = table["layer_sha256"].to_pylist()
            ids = table["layer_id"].to_pylist()
            values = table["values"].combine_chunks()
            numbers, offsets = values.values.to_numpy(), values.offsets.to_numpy()
            for start, stop in _runs(ids):
                if names[start] in done:
                    continue  # the same tensor of another checkpoint
                done.add(names[start])
                yield names[start], numbers[offsets[start] : offsets[stop]].reshape(stop - start, -1)

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield (layer_sha256, kernels float32 [k, taps]) a part at a time, the parts of a layer behind one another.

        In the order of the files, not of `layers`. Raises DatasetError for a file that is not there.
        """
        yield from kernels_of(self._folder, self._all, layers)

    @cached_property
    def _all(self) -> pa.Table:
        return _read(self._folder / "data/index.parquet", INDEX)

    @cached_property
    def _stored_sketches(self) -> LayerRowLookup:
        return LayerRowLookup(files_of(self._folder, "sketches"), SKETCHES)

    @cached_property
    def _stored_samples(self) -> LayerRowLookup:
        return LayerRowLookup(files_of(self._folder, "samples"), SAMPLES, ("layer_sha256", "layer_id", "values"))

    @cached_property
    def _made(self) -> SketchBuilder:
        return SketchBuilder(self._all)


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a table by its schema: columns that an older version lacks are null."""
    if not path.is_file():
        return schema.empty_table()
    with open_parquet(path) as file:
        table = file.read(use_threads=False)
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, names=schema.names)


def _chosen(index: pa.Table) -> list[int]:
    names = ("weight_kind", "layer_sha256", "run_final", "file")
    best: dict[str, tuple[bool, int]] = {}
    for row, (kind, digest, final, file) in enumerate(zip(*(index[n].to_pylist() for n in names), strict=True)):
        if kind in TRAINED and digest is not None and final is not False:
            rank = (file is None, row)
            best[digest] = min(best.get(digest, rank), rank)
    return sorted(row for _, row in best.values())


def _joined(index: pa.Table, models: pa.Table) -> pa.Table:
    """Add the columns of `models` that `index` lacks, as model_NAME."""
    places = pc.index_in(index["model_id"].combine_chunks(), models["model_id"].combine_chunks())
    for name in models.column_names:
        if name not in INDEX.names:
            index = index.append_column(f"model_{name}", models[name].take(places))
    return index


def _runs(values: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield where each stretch of equal values starts and ends."""
    start, position, last = 0, 0, None
    for position, value in enumerate(values):
        if position and value != last:
            yield start, position
            start = position
        last = value
    if last is not None:
        yield start, position + 1
