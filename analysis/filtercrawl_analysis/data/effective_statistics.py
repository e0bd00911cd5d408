"""Quality, sketch and samples of effective weights: computed once, kept by content in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from filtercrawl.api.measure import LayerSummary
from filtercrawl.dataset.files.atomic import may_write
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.tables import sketches
from filtercrawl.dataset.tables.samples import Samples, sample_positions
from filtercrawl_analysis.data.effective_weights import EffectiveLayer, effective_weights
from filtercrawl_analysis.data.stored_layers import Kernels, StoredLayers
from filtercrawl_analysis.layer_stats.layer_quality import SketchedQuality
from filtercrawl_analysis.layer_stats.quality import Quality
from filtercrawl_analysis.layer_stats.sketch import VERSION

# Columns of `index` that are computed of effective weights.
MEASURED: Final = (*Quality.columns, "n_nonfinite")
_FILE: Final = "effective.sqlite"
# Rows of other versions are of other methods, and are not found.
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS layers (
        digest TEXT NOT NULL, version INTEGER NOT NULL, columns TEXT NOT NULL, sketch BLOB NOT NULL,
        samples BLOB NOT NULL, PRIMARY KEY (digest, version)
    )
"""
# Layers that are written in one transaction.
_COMMIT: Final = 64


class EffectiveStatistics:
    """Statistics of effective weights by their effective_sha256.

    Measured is as `sync` does stored weights, in one pass over each layer. An interrupted run keeps what it has; of
    layers that the dataset no longer has, and of older methods, nothing is kept.
    """

    def __init__(self, stored: StoredLayers, device: str, progress: Callable[[int, int, str], None]) -> None:
        self._stored = stored
        self._device = torch.device(device)
        self._progress = progress

    def columns(self, digests: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield digest and the columns MEASURED of each layer."""
        for digest, text in self._rows("columns", digests):
            yield digest, json.loads(text)

    def sketches(self, digests: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """Yield the row of `sketches` of each layer, under its effective_sha256."""
        for _, data in self._rows("sketch", digests):
            yield sketches.from_bytes(data)

    def samples(self, digests: Sequence[str]) -> Iterator[Kernels]:
        """Yield digest and at most 64 kernels of each layer, float32 [k, taps]."""
        for digest, data in self._rows("samples", digests):
            yield digest, Samples.from_bytes(data).values

    def _rows(self, column: str, digests: Sequence[str]) -> Iterator[tuple[str, Any]]:
        distinct = list(dict.fromkeys(digests))
        self._compute(distinct)
        sql = f"SELECT {column} FROM layers WHERE digest = ? AND version = ?"  # noqa: S608 - constants
        for digest in distinct:
            (value,) = self._database.execute(sql, (digest, VERSION)).fetchone()
            yield digest, value

    def _compute(self, digests: Sequence[str]) -> None:
        """Measure the layers that are not kept yet."""
        missing = [digest for digest in digests if digest not in self._kept]
        for done, layer in enumerate(effective_weights(self._stored, missing)):
            self._progress(done, len(missing), "effective weights")
            row = (layer.digest, VERSION, *self._measure(layer))
            self._database.execute("INSERT INTO layers VALUES (?, ?, ?, ?, ?)", row)
            self._kept.add(layer.digest)
            if done % _COMMIT == _COMMIT - 1:
                self._database.commit()
        self._database.commit()

    @cached_property
    def _kept(self) -> set[str]:
        here = set(self._stored.index["effective_sha256"].to_pylist())
        rows = self._database.execute("SELECT digest, version FROM layers").fetchall()
        gone = [row for row in rows if row[0] not in here or row[1] != VERSION]
        if gone:
            self._database.executemany("DELETE FROM layers WHERE digest = ? AND version = ?", gone)
            self._database.commit()
            self._database.execute("VACUUM")
        return {digest for digest, version in rows if version == VERSION} & here

    def _measure(self, layer: EffectiveLayer) -> tuple[str, bytes, bytes]:
        weight = layer.weight
        finite = np.isfinite(weight)
        taps = int(np.prod(weight.shape[2:]))
        summary = LayerSummary(
            shape=weight.shape,
            n_kernels=weight.shape[0] * weight.shape[1],
            taps=taps,
            max_abs=float(np.abs(weight, where=finite, out=np.zeros_like(weight)).max(initial=0)),
        )
        quality = SketchedQuality(summary)
        quality.update(torch.from_numpy(weight).to(self._device))
        columns = {**quality.finish(), "n_nonfinite": int((~finite).sum())}
        # The same places as in the samples of the stored weight: the two can be compared kernel by kernel.
        positions = np.asarray(sample_positions(layer.stored, summary.n_kernels), np.int64)
        picked = Samples(positions=positions, values=weight.reshape(-1, taps)[positions])
        sketch = sketches.to_bytes({**quality.sketch(), "layer_sha256": layer.digest})
        return json.dumps(columns), sketch, picked.to_bytes()

    @cached_property
    def _database(self) -> sqlite3.Connection:
        folder = self._stored.folder / HIDDEN
        try:
            return _opened(folder / _FILE if may_write(folder) else ":memory:")
        except sqlite3.OperationalError:  # another process has it
            return _opened(":memory:")
        except sqlite3.DatabaseError:  # damaged: it holds nothing that cannot be computed again
            (folder / _FILE).unlink(missing_ok=True)
            return _opened(folder / _FILE)


def _opened(path: Path | str) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute(_SCHEMA)
    return database
