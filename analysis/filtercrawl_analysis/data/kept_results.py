"""Results of layers that earlier runs computed, kept beside the catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from filtercrawl.dataset.files.atomic import may_write, replace_if_changed, temporary
from filtercrawl.dataset.files.unpublished import HIDDEN

_FOLDER: Final = f"{HIDDEN}/results"
_KEY: Final = "key"
# Libraries whose versions may differ in the last bits of a result.
_LIBRARIES: Final = ("numpy", "scipy")


class KeptResults:
    """Rows of results by method and key, one Parquet file a method; nothing in them cannot be computed again.

    A file that is damaged, or of other versions of numpy and scipy or other columns, is replaced. Where the folder may
    not be written, nothing is kept.
    """

    def __init__(self, dataset: Path, most: int) -> None:
        """Open the results of a dataset; files are read when a method is asked for.

        Args:
            dataset: The dataset folder.
            most: The most rows to keep of a method; more if more are asked for at a time.
        """
        self._dataset = dataset
        self._most = most

    def rows(self, method: str, keys: Sequence[str], compute: Callable[[Sequence[int]], pa.Table]) -> pa.Table:
        """Return a row for each key, see `DatasetView.layer_results`."""
        wanted = pa.array(keys, pa.string())
        kept = self._read(method)
        missing = _missing(wanted, kept)
        computed = _with_keys(compute(missing), wanted, missing)
        if kept is not None and kept.schema != computed.schema:  # of a version with other columns
            kept, missing = None, _missing(wanted, None)
            computed = _with_keys(compute(missing), wanted, missing)
        known = computed if kept is None else pa.concat_tables([computed, kept])
        known = known.combine_chunks()
        places = pc.index_in(wanted, known[_KEY].combine_chunks())
        if missing:
            self._write(method, known, places)
        return known.drop_columns([_KEY]).take(places)

    def _read(self, method: str) -> pa.Table | None:
        try:
            table = pq.read_table(self._path(method), page_checksum_verification=True, partitioning=None)
        except (OSError, ValueError):  # absent, or damaged
            return None
        if (table.schema.metadata or {}) != _versions() or _KEY not in table.column_names:
            return None
        return table.replace_schema_metadata(None)

    def _write(self, method: str, known: pa.Table, asked: pa.Array) -> None:
        if not may_write(self._dataset / HIDDEN):
            return
        first = np.unique(asked.to_numpy())
        others = np.setdiff1d(np.arange(len(known)), first, assume_unique=True)
        rows = np.concatenate([first, others[: max(0, self._most - len(first))]])
        target = self._path(method)
        with temporary(target, self._dataset) as path:
            table = known.take(pa.array(rows)).replace_schema_metadata(_versions())
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)
            replace_if_changed(path, target)

    def _path(self, method: str) -> Path:
        return self._dataset / _FOLDER / f"{quote(method, safe='')}.parquet"


def _missing(wanted: pa.Array, kept: pa.Table | None) -> list[int]:
    """Return the first position of each key that is not kept."""
    keys = wanted.to_pylist()
    first = {key: position for position, key in reversed(list(enumerate(keys)))}
    known = set() if kept is None else set(kept[_KEY].to_pylist())
    return sorted(position for key, position in first.items() if key not in known)


def _with_keys(computed: pa.Table, wanted: pa.Array, positions: Sequence[int]) -> pa.Table:
    keys = wanted.take(pa.array(positions, pa.int64()))
    return computed.replace_schema_metadata(None).append_column(pa.field(_KEY, pa.string()), keys)


def _versions() -> dict[bytes, bytes]:
    return {name.encode(): version(name).encode() for name in _LIBRARIES}
