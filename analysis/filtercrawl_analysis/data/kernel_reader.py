"""Streaming the kernels of layers from the immutable files, one page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl_analysis.data.layer_lookup import open_parquet
from filtercrawl_analysis.data.parquet_pages import Page, find_pages, merge_byte_planes, read_byte_planes
from filtercrawl_analysis.numerics.scaling import kernels_per_chunk


def read_kernels(
    folder: Path, index: pa.Table, layers: Sequence[str], store: LayerStore | None = None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the kernels of layers; row groups that hold none of them are not read.

    Args:
        folder: The dataset folder.
        index: All rows of `index`, which tell where weights are stored.
        layers: The layer_sha256 of each layer wanted.
        store: Where the layers files are; None for the folder alone.

    Yields:
        layer_sha256 and kernels, float32 [k, taps]; a layer in one or more consecutive parts.

    Raises:
        DatasetError: A file or a layer is missing, or a file cannot be read.
    """
    wanted = pa.array(list(dict.fromkeys(layers)), pa.string())
    is_stored = pc.and_(pc.is_in(index["layer_sha256"], value_set=wanted), pc.is_valid(index["row_group"]))
    stored = index.filter(is_stored).select(["layer_sha256", "layer_id", "file", "taps"])
    by_file: dict[str, dict[str, tuple[str, int]]] = {}
    seen: set[str] = set()
    for digest, layer_id, file, taps in zip(*(column.to_pylist() for column in stored.columns), strict=True):
        if digest not in seen:  # other layers may have the same weights
            seen.add(digest)
            by_file.setdefault(file, {})[layer_id] = (digest, taps)
    for file, layers_by_id in by_file.items():
        if store is not None:
            store.fetch(file)
        yield from _read_file(folder / file, layers_by_id)
    missing = next((digest for digest in wanted.to_pylist() if digest not in seen), None)
    if missing is not None:
        raise DatasetError(f"{folder}: no file holds the kernels of layer {missing[:16]}...; run `filtercrawl sync`")


def _read_file(path: Path, layers_by_id: dict[str, tuple[str, int]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if not path.is_file():
        raise DatasetError(f"{path}: the file is missing; run `filtercrawl sync` to write it again")
    wanted_ids = pa.array(list(layers_by_id), pa.string())
    with open_parquet(path) as parquet, path.open("rb") as file:
        for group in range(parquet.num_row_groups):
            rows = parquet.read_row_group(group, columns=["layer_id", "n_kernels", "taps"], use_threads=False)
            wanted = pc.is_in(rows["layer_id"], value_set=wanted_ids).to_numpy()
            if not wanted.any():
                continue
            ends = np.cumsum(rows["n_kernels"].to_numpy() * rows["taps"].to_numpy())
            pages = find_pages(file, parquet.metadata.row_group(group), ends)
            row_bytes = (
                _read_with_arrow(parquet, group, wanted) if pages is None else _read_pages(file, pages, ends, wanted)
            )
            try:
                for row, planes in row_bytes:
                    digest, taps = layers_by_id[rows["layer_id"][row].as_py()]
                    # A chunk at a time, which stays in the cache from here to the last computation on it.
                    step = taps * kernels_per_chunk(taps)
                    for start in range(0, planes.shape[1], step):
                        yield digest, merge_byte_planes(planes[:, start : start + step]).reshape(-1, taps)
            except (OSError, ValueError) as error:
                raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync`") from error


def _read_pages(
    file: BinaryIO, pages: list[Page], ends: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the wanted rows of a row group, each as the bytes of its weights, uint8 [4, weights]."""
    starts = np.r_[0, ends[:-1]]
    for page in pages:
        rows = np.flatnonzero(wanted & (starts >= page.start) & (ends <= page.stop))
        if len(rows):
            planes = read_byte_planes(file, page)
            for row in rows.tolist():
                yield row, planes[:, starts[row] - page.start : ends[row] - page.start]


def _read_with_arrow(
    parquet: pq.ParquetFile, group: int, wanted: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the same as `_read_pages` from a file of any layout."""
    column = parquet.read_row_group(group, columns=["weight"], use_threads=False)["weight"]
    # `combine_chunks` copies even a single chunk.
    lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    values, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    for row in np.flatnonzero(wanted).tolist():
        yield row, values[offsets[row] : offsets[row + 1]].view(np.uint8).reshape(-1, 4).T
    # Otherwise the memory of this row group stays in the pool while the next one is read.
    del column, lists, values, offsets
    pa.default_memory_pool().release_unused()
