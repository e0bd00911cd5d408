"""The kernels of layers, streamed from the immutable files a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.errors import DatasetError
from filtercrawl_analysis.rows_by_layer import opened


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
    with opened(path) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["layer_id"], use_threads=False)["layer_id"]
            rows = np.flatnonzero(pc.is_in(ids, value_set=names).to_numpy())
            if not len(rows):
                continue
            weight = file.read_row_group(group, columns=["weight"], use_threads=False)["weight"].combine_chunks()
            numbers, offsets = weight.values.to_numpy(), weight.offsets.to_numpy()
            for row in rows:
                digest, taps = found[ids[int(row)].as_py()]
                yield digest, numbers[offsets[row] : offsets[row + 1]].reshape(-1, taps)
            # What the pool keeps of a row group would lie beside the next one.
            del weight, numbers, offsets
            pa.default_memory_pool().release_unused()
