"""Parquet files for any other harness: attributes, queries, and filters with their neighbors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl_publish.export.fanns.layouts import Benchmark


def write_tables(folder: Path, benchmark: Benchmark) -> None:
    """Write `attributes`, a row for each vector, `queries`, and `ground_truth`, a row for each kind and query."""
    for name, table, vectors in (
        ("attributes", benchmark.attributes, benchmark.vectors),
        ("queries", benchmark.query_attributes, benchmark.queries),
    ):
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        _write(folder / f"{name}.parquet", table.append_column("vector", values))
    _write(folder / "ground_truth.parquet", pa.concat_tables(_truth(benchmark)))


def _truth(benchmark: Benchmark) -> Iterator[pa.Table]:
    for kind, truth in benchmark.truth.items():
        columns: dict[str, Any] = {
            "kind": pa.array([kind] * len(truth.filter_of)),
            "query": pa.array(np.arange(len(truth.filter_of), dtype=np.int32)),
            "filter": pa.array([truth.filters[number].sql for number in truth.filter_of.tolist()]),
            "matches": pa.array([len(truth.filters[number].rows) for number in truth.filter_of.tolist()], pa.int64()),
            "neighbors": pa.array(list(truth.neighbors), pa.list_(pa.int32())),
            "squared_distances": pa.array(list(truth.distances), pa.list_(pa.float64())),
        }
        yield pa.table(columns)


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd", row_group_size=1 << 17)
