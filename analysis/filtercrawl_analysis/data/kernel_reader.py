"""The kernels of layers, streamed from the immutable files a page at a time."""

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
from filtercrawl_analysis.data.layer_lookup import open_parquet
from filtercrawl_analysis.data.parquet_pages import Page, merge_byte_planes, pages, read_byte_planes
from filtercrawl_analysis.numerics.scaling import kernels_per_chunk


def kernels_of(folder: Path, index: pa.Table, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield (layer_sha256, kernels [k, taps]) a row of `layers` at a time; reads no row group that has none of these.

    index: all rows of `index`, which say where weights lie. Raises DatasetError where a file or a layer is missing.
    """
    wanted = pa.array(list(dict.fromkeys(layers)), pa.string())
    stored = pc.and_(pc.is_in(index["layer_sha256"], value_set=wanted), pc.is_valid(index["file"]))
    places = index.filter(stored).select(["layer_sha256", "layer_id", "file", "taps"])
    by_file: dict[str, dict[str, tuple[str, int]]] = {}
    seen: set[str] = set()
    for digest, layer_id, file, taps in zip(*(column.to_pylist() for column in places.columns), strict=True):
        if digest not in seen:  # once, whoever else has the same numbers
            seen.add(digest)
            by_file.setdefault(file, {})[layer_id] = (digest, taps)
    for file, found in by_file.items():
        yield from _of_file(folder / file, found)
    lacking = next((digest for digest in wanted.to_pylist() if digest not in seen), None)
    if lacking is not None:
        raise DatasetError(f"{folder}: no file holds the kernels of layer {lacking[:16]}...; run `filtercrawl sync`")


def _of_file(path: Path, found: dict[str, tuple[str, int]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if not path.is_file():
        raise DatasetError(f"{path}: is not there; run `filtercrawl sync` to write it again")
    names = pa.array(list(found), pa.string())
    with open_parquet(path) as file, path.open("rb") as plain:
        for group in range(file.num_row_groups):
            facts = file.read_row_group(group, columns=["layer_id", "n_kernels", "taps"], use_threads=False)
            wanted = pc.is_in(facts["layer_id"], value_set=names).to_numpy()
            if not wanted.any():
                continue
            ends = np.cumsum(facts["n_kernels"].to_numpy() * facts["taps"].to_numpy())
            known = pages(plain, file.metadata.row_group(group), ends)
            rows = _listed(file, group, wanted) if known is None else _paged(plain, known, ends, wanted)
            try:
                for row, numbers in rows:
                    digest, taps = found[facts["layer_id"][row].as_py()]
                    # A few kernels at a time, which the cache holds from here to the last that is made of them.
                    step = taps * kernels_per_chunk(taps)
                    for start in range(0, numbers.shape[1], step):
                        yield digest, merge_byte_planes(numbers[:, start : start + step]).reshape(-1, taps)
            except (OSError, ValueError) as error:
                raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync`") from error


def _paged(
    file: BinaryIO, found: list[Page], ends: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the wanted rows of a row group, each as the bytes of its numbers, uint8 [4, numbers]."""
    starts = np.r_[0, ends[:-1]]
    for page in found:
        here = np.flatnonzero(wanted & (starts >= page.start) & (ends <= page.stop))
        if len(here):
            whole = read_byte_planes(file, page)
            for row in here.tolist():
                yield row, whole[:, starts[row] - page.start : ends[row] - page.start]


def _listed(file: pq.ParquetFile, group: int, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The same by Arrow, whatever the layout of the file."""
    column = file.read_row_group(group, columns=["weight"], use_threads=False)["weight"]
    # Chunks that are one already would be copied.
    lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    numbers, offsets = lists.values.to_numpy(), lists.offsets.to_numpy()
    for row in np.flatnonzero(wanted).tolist():
        yield row, numbers[offsets[row] : offsets[row + 1]].view(np.uint8).reshape(-1, 4).T
    # What the pool keeps of a row group would lie beside the next one.
    del column, lists, numbers, offsets
    pa.default_memory_pool().release_unused()
