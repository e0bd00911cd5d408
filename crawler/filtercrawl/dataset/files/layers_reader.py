"""Read weights back from an immutable layers file, a row at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError


class LayersFileReader:
    """The layers of one `layers` file by their sha256; memory is bounded by a row group."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: cannot be read ({error}); run `filtercrawl sync` to write it again") from error
        self._path = path
        # Which row has which numbers of a layer: (first number, one past the last, row group, row in it).
        self._spans: dict[str, list[tuple[int, int, int, int]]] = {}
        names = ["layer_sha256", "layer_id", "shape"]
        layer_of: dict[str, str] = {}
        ends: dict[str, int] = {}
        for group in range(self._file.num_row_groups):
            for row, facts in enumerate(self._file.read_row_group(group, columns=names).to_pylist()):
                digest = facts["layer_sha256"]
                if layer_of.setdefault(digest, facts["layer_id"]) != facts["layer_id"]:
                    continue  # the same numbers under another name
                start = ends.get(digest, 0)
                ends[digest] = start + int(np.prod(facts["shape"]))
                self._spans.setdefault(digest, []).append((start, ends[digest], group, row))
        self._open: tuple[int, NDArray[np.float32], NDArray[np.int64]] | None = None

    def read(self, layer_sha256: str, start: int, stop: int) -> NDArray[np.float32]:
        """Return numbers `start` to `stop` of a layer, row-major, float32; raises DatasetError where they are not."""
        pieces = []
        for first, last, group, row in self._spans.get(layer_sha256, []):
            if first < stop and last > start:
                numbers = self._row(group, row)
                pieces.append(numbers[max(start - first, 0) : stop - first])
        found = np.concatenate(pieces) if pieces else np.empty(0, np.float32)
        if len(found) != stop - start:
            raise DatasetError(f"{self._path}: does not hold the layer {layer_sha256[:16]}... in full")
        return found

    def _row(self, group: int, row: int) -> NDArray[np.float32]:
        if self._open is None or self._open[0] != group:
            self._open = None
            weight = self._file.read_row_group(group, columns=["weight"])["weight"].combine_chunks()
            self._open = (group, weight.values.to_numpy(), weight.offsets.to_numpy())
        _, numbers, offsets = self._open
        return numbers[offsets[row] : offsets[row + 1]]

    def close(self) -> None:
        self._open = None
        self._file.close()
