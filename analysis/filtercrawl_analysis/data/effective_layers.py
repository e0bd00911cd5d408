"""The layers of a dataset folder as their networks convolve with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.dataset.schema.arrow import INDEX, SKETCHES
from filtercrawl.dataset.tables.effective import has_unknown_weight
from filtercrawl_analysis.data.effective_statistics import MEASURED, EffectiveStatistics
from filtercrawl_analysis.data.effective_weights import effective_weights
from filtercrawl_analysis.data.stored_layers import Kernels, StoredLayers
from filtercrawl_analysis.numerics.scaling import kernels_per_chunk

# Layers whose statistics are asked for at a time: as Python objects, samples and sketches take some kilobytes each.
_AT_ONCE: Final = 256


class EffectiveLayers:
    """Implements `ViewedLayers` for effective weights; layers without a row in `effective` are as they are stored.

    What is computed is kept below `.filtercrawl` of the folder, by content, if that may be written.
    """

    def __init__(self, stored: StoredLayers, device: str, progress: Callable[[int, int, str], None]) -> None:
        """Describe the layers; weights are read when something is asked for.

        Args:
            stored: The layers as they are stored.
            device: Where effective weights are measured.
            progress: Receives the number of layers measured, their total, and what is done.
        """
        self._stored = stored
        self._statistics = EffectiveStatistics(stored, device, progress)

    @cached_property
    def index(self) -> pa.Table:
        """All rows of `index` but those of merged branches and of layers standardized by an unknown formula.

        `layer_sha256` of a layer with an effective weight is its `effective_sha256`. Its quality columns are null until
        `measured`, and so is `duplicate_of`, which is about stored bytes.
        """
        index = self._stored.index
        rows = index.filter(pc.and_not(pc.is_null(index["merged_into"]), has_unknown_weight(index)))
        is_raw = pc.is_null(rows["effective_sha256"])
        rows = _replaced(rows, "layer_sha256", pc.coalesce(rows["effective_sha256"], rows["layer_sha256"]))
        for name in (*MEASURED, "duplicate_of"):
            rows = _replaced(rows, name, pc.if_else(is_raw, rows[name], pa.scalar(None, rows.schema.field(name).type)))
        return rows

    def measured(self, rows: pa.Table) -> pa.Table:
        """Return rows of `index` with the quality of effective weights."""
        digests = rows["effective_sha256"].to_pylist()
        found = dict(self._statistics.columns([d for d in digests if d is not None]))
        for name in MEASURED:
            stored = rows[name].to_pylist()
            values = [
                known if digest is None else found[digest][name] for known, digest in zip(stored, digests, strict=True)
            ]
            rows = _replaced(rows, name, pa.chunked_array([pa.array(values, INDEX.field(name).type)]))
        return rows

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return one row of SKETCHES for each layer, in this order."""
        raw, effective = self._split(layers)
        tables = [self._stored.sketches(raw)] if raw else []
        for start in range(0, len(effective), _AT_ONCE):
            some = self._statistics.sketches(effective[start : start + _AT_ONCE])
            tables.append(pa.Table.from_pylist(list(some), schema=SKETCHES))
        if not tables:
            return SKETCHES.empty_table()
        combined = pa.concat_tables(tables)
        return combined.take(pc.index_in(pa.array(layers, pa.string()), combined["layer_sha256"].combine_chunks()))

    def samples(self, layers: Sequence[str]) -> Iterator[Kernels]:
        """Yield the sampled kernels of layers: those that are sampled of the stored weight."""
        raw, effective = self._split(layers)
        yield from self._stored.samples(raw)
        for start in range(0, len(effective), _AT_ONCE):
            yield from self._statistics.samples(effective[start : start + _AT_ONCE])

    def kernels(self, layers: Sequence[str]) -> Iterator[Kernels]:
        """Yield all kernels of layers, in the order of the files.

        Memory: two layers, or the branches of one checkpoint.

        Raises:
            DatasetError: A file or a layer is missing.
        """
        raw, effective = self._split(layers)
        if raw:
            yield from self._stored.kernels(raw)
        for layer in effective_weights(self._stored, effective):
            kernels = layer.weight.reshape(-1, int(np.prod(layer.weight.shape[2:])))
            step = kernels_per_chunk(kernels.shape[1])
            for start in range(0, len(kernels), step):
                yield layer.digest, kernels[start : start + step]

    def _split(self, layers: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the distinct layers with a stored weight and those with an effective one."""
        distinct = list(dict.fromkeys(layers))
        return [d for d in distinct if d not in self._known], [d for d in distinct if d in self._known]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(pc.unique(self.index["effective_sha256"].drop_null()).to_pylist())


def _replaced(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
