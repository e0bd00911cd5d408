"""A torch dataset of shuffled kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from filtercrawl.api.errors import UsageError
from filtercrawl.load.kernel_numbers import KernelNumbers
from filtercrawl.load.location import DatasetLocation, open_location, open_parquet
from filtercrawl.load.query import LayerRequest, group_by_row_group, select_layers
from filtercrawl.load.row_groups import read_layer_parts
from filtercrawl.load.shuffle_buffer import ShuffleBuffer
from filtercrawl.load.subset import Subset
from filtercrawl.load.whole_layers import RowGroupRequests

# Size of the shuffle buffer; reading takes some row groups besides.
BUFFER_BYTES: Final = 128 * 1024**2


@dataclass(frozen=True, kw_only=True)
class _RowGroup:
    """One unit of reading: a row group, and the layers of it that are selected."""

    file: str
    group: int
    requests: tuple[LayerRequest, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Selected:
    """The kernels of a dataset.

    Attributes:
        location: Where the weights are stored.
        layers: `layer_id`, `shape` and `kernel_size` of their layers.
        requests: The layers by file and row group.
        subset: The same layers with a bit for each kernel that is selected; None where all kernels are.
    """

    location: DatasetLocation
    layers: pa.Table
    requests: RowGroupRequests
    subset: Subset | None = None


class KernelDataset(IterableDataset[torch.Tensor | tuple[torch.Tensor, torch.Tensor]]):
    """All kernels of one size in shuffled batches, as a torch `IterableDataset`.

    Of a dataset, or of a subset of one. Yields float32 tensors `[batch_size, *kernel_size]`, the last one smaller; with
    `numbers=True`, each with the int64 numbers of its kernels `[batch_size]`, from which `kernel_ids` makes ids. Of a
    dataset, a weight that several layers share is taken once. Give it to a `DataLoader` with `batch_size=None`.

    The same seed, epoch and number of workers give the same batches, bit for bit; no worker and one worker are the
    same. Each of several workers reads its own row groups. Row groups are read in random order and shuffled in a
    buffer, so memory is bounded in each worker whatever the size of the dataset. From the Hub, row groups are fetched
    in every epoch, unless the cache of huggingface_hub holds the files.

    Attributes:
        kernel_size: For example `(3, 3)`.
        n_kernels: Kernels of one epoch.

    Example:
        >>> kernels = filtercrawl.KernelDataset("org/kernels", "3x3", where="weight_kind = 'learned'")
        >>> for epoch in range(2):
        ...     kernels.set_epoch(epoch)
        ...     for batch in torch.utils.data.DataLoader(kernels, batch_size=None, num_workers=1):
        ...         ...  # float32 [8192, 3, 3]
    """

    def __init__(
        self,
        repo_or_path: str | Path | Subset,
        kernel: str,
        *,
        batch_size: int = 8192,
        seed: int = 0,
        where: str | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        numbers: bool = False,
        revision: str | None = None,
    ) -> None:
        """Select the kernels; weights are read when the dataset is iterated.

        Args:
            repo_or_path: A folder, `org/name` or `org/name@revision`; or what `load_subset` returns.
            kernel: The kernel size as in the column `kernel`, for example `3x3`.
            batch_size: Kernels of a batch.
            seed: Seed of the order; not negative.
            where: A condition as for `filtercrawl.load_layers`; None for all kernels of the size. A subset takes none.
            buffer_bytes: Size of the shuffle buffer of each worker, by default 128 MiB.
            numbers: Whether to yield the numbers of kernels too.
            revision: A branch, tag or commit of a repository; by default `main`.

        Raises:
            UsageError: Nothing matches, or an argument is not understood.
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer, or has no such repository or revision.
        """
        if batch_size < 1 or seed < 0:
            raise UsageError(f"a batch has at least one kernel and a seed is not negative: {batch_size=}, {seed=}")
        if isinstance(repo_or_path, Subset):
            if where is not None or revision is not None:
                raise UsageError("a subset has its layers and its revision already; leave out where and revision")
            selected = _of_subset(repo_or_path, kernel)
        else:
            selected = _of_dataset(open_location(repo_or_path, revision), kernel, where)
        self._location = selected.location
        if not selected.layers.num_rows:
            raise UsageError(f"{self._location}: no kernels of {kernel}" + (f" where {where}" if where else ""))
        self.kernel_size: tuple[int, ...] = tuple(selected.layers["kernel_size"][0].as_py())
        self._numbers = KernelNumbers(selected.layers.select(["layer_id", "shape"]))
        self._subset = selected.subset
        self.n_kernels: int = len(self._numbers) if self._subset is None else self._subset.n_kernels
        self._numbered = numbers
        self._row_groups = [
            _RowGroup(file=file, group=group, requests=tuple(requests))
            for file, groups in selected.requests.items()
            for group, requests in groups.items()
        ]
        self._batch_size = batch_size
        self._seed = seed
        self._buffer_bytes = buffer_bytes
        # In shared memory, since persistent workers have a copy of everything else.
        self._epoch: torch.Tensor = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; without a call every pass has the same order.

        Args:
            epoch: From 0; each epoch has an order of its own.
        """
        self._epoch.fill_(epoch)

    def kernel_ids(self, numbers: torch.Tensor) -> list[str]:
        """Return the ids of kernels by their numbers: `layer_id:out:in`.

        Args:
            numbers: int64 `[n]`, as the dataset yields them.

        Raises:
            IndexError: There is no kernel of such a number.
        """
        return self._numbers.ids(numbers.numpy())

    def __iter__(self) -> Iterator[torch.Tensor | tuple[torch.Tensor, torch.Tensor]]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = int(self._epoch)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._row_groups))[number::workers]
        taps = int(np.prod(self.kernel_size))
        seed = np.random.SeedSequence([self._seed, epoch, number, workers]).generate_state(1, np.uint64)
        random = torch.Generator().manual_seed(int(seed[0] >> 1))
        capacity = self._buffer_bytes // (4 * taps)
        buffer = ShuffleBuffer(capacity, taps, self._batch_size, random, numbered=self._numbered)
        for batch, numbers in buffer.batches(self._read(order, taps)):
            kernels = batch.view(-1, *self.kernel_size)
            yield kernels if numbers is None else (kernels, numbers)

    def _read(
        self, order: NDArray[np.int64], taps: int
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64] | None]]:
        for row_group in (self._row_groups[number] for number in order):
            with open_parquet(self._location, row_group.file) as file:
                for part in read_layer_parts(file, row_group.group, row_group.requests):
                    kernels = part.numbers.reshape(-1, taps)
                    row, start = part.request.row, part.start
                    numbers = self._numbers.of_part(row, start, len(kernels)) if self._numbered else None
                    mask = None if self._subset is None else self._subset.mask(row)
                    if mask is not None:
                        first = start * part.request.shape[1]
                        kept = mask[first : first + len(kernels)]
                        kernels, numbers = kernels[kept], None if numbers is None else numbers[kept]
                    yield kernels, numbers


def _of_dataset(location: DatasetLocation, kernel: str, where: str | None) -> _Selected:
    """Select the layers of a dataset that match, each weight once."""
    this_size = duckdb.ColumnExpression("kernel") == duckdb.ConstantExpression(kernel)
    selected = select_layers(location.index(), where, ["layer_id", "kernel_size"], this_size)
    _, first = np.unique(np.array(selected["layer_sha256"].to_pylist(), str), return_index=True)
    selected = selected.take(np.sort(first))
    return _Selected(location=location, layers=selected, requests=group_by_row_group(selected))


def _of_subset(subset: Subset, kernel: str) -> _Selected:
    """Select the layers of a subset that have this kernel size."""
    chosen = subset.of_size(kernel)
    return _Selected(location=chosen.location, layers=chosen.layers, requests=chosen.requests(), subset=chosen)
