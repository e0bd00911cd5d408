"""Find equal kernels among more than fit into memory: the database sorts them out on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import gettempdir
from typing import Any, Final, Self

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.subsets.kernel_rules import Kernels

# Numbers that are read at a time.
_BATCH: Final = 1 << 20
# Each thread needs memory of its own: with more of them there is not enough to sort on disk.
_MOST_THREADS: Final = 4
_CONFIG: Final[dict[str, Any]] = {"memory_limit": "1GB", "threads": min(os.cpu_count() or 1, _MOST_THREADS)}


class FirstKernels:
    """Collects kernels with their numbers, and tells the lowest number of those that are equal.

    Bytes are compared, not hashes of them. Scratch files are in the system's folder for temporary files.
    """

    def __enter__(self) -> Self:
        self._opened = ExitStack()
        folder = self._opened.enter_context(temporary_folder())
        config = {**_CONFIG, "temp_directory": str(folder)}
        self._database = self._opened.enter_context(duckdb.connect(str(folder / "kernels.duckdb"), config=config))
        self._database.execute("CREATE TABLE kernels (scope BIGINT, size VARCHAR, bytes BLOB, number BIGINT)")
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def add(self, kernels: Kernels, size: str, scope: int, numbers: NDArray[np.int64]) -> None:
        """Add kernels of one size.

        Args:
            kernels: As `canonical_bytes` returns them [n, taps].
            size: The kernel size: equal numbers of another one are another kernel.
            scope: Kernels are compared with those of the same scope.
            numbers: Their numbers [n].

        Raises:
            DatasetError: The disk for temporary files is full.
        """
        if not len(kernels):
            return
        taps = kernels.shape[1]
        data = pa.Array.from_buffers(pa.binary(4 * taps), len(kernels), [None, pa.py_buffer(kernels.data)])
        batch = pa.table({"bytes": data, "number": pa.array(numbers)})
        with _on_disk():
            self._database.register("batch", batch)
            self._database.execute("INSERT INTO kernels SELECT ?, ?, bytes, number FROM batch", [scope, size])
            self._database.unregister("batch")

    def first(self) -> Iterator[NDArray[np.int64]]:
        """Yield the lowest number of each kernel, in order, in batches.

        Raises:
            DatasetError: The disk for temporary files is full.
        """
        lowest = "SELECT min(number) AS number FROM kernels GROUP BY scope, size, bytes"
        with _on_disk():
            found = self._database.sql(f"SELECT number FROM ({lowest}) ORDER BY number")  # noqa: S608
            for batch in found.to_arrow_reader(_BATCH):
                yield batch.column(0).to_numpy()


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"{gettempdir()}: cannot hold the kernels that are compared ({reason}); "
            "free space there, or name another disk by the variable TMPDIR"
        ) from error
