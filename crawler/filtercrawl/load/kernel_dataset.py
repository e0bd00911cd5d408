"""Kernels as a stream of shuffled batches, to train on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from filtercrawl.api.errors import UsageError
from filtercrawl.load.location import open_location, open_parquet
from filtercrawl.load.query import LayerRequest, group_by_row_group, select_layers
from filtercrawl.load.row_groups import read_layer_parts
from filtercrawl.load.shuffle_buffer import ShuffleBuffer

# Bytes of kernels that are mixed at a time; reading takes some row groups beside them.
BUFFER_BYTES: Final = 134_217_728


@dataclass(frozen=True, kw_only=True)
class _RowGroup:
    """What is read at a time: a row group, and the layers of it that are wanted."""

    file: str
    group: int
    layers: tuple[LayerRequest, ...]


class KernelDataset(IterableDataset[torch.Tensor]):
    """All kernels of one size, shuffled: an iterable of float32 batches `[batch_size, *kernel_size]`, the last smaller.

    root, where: as for `filtercrawl.load.layers`; a weight that several layers share is taken once. kernel: as the
    column `kernel` has it, `3x3`. Give it to a DataLoader with `batch_size=None`. kernel_size: a tuple; n_kernels: in
    an epoch.

    The same seed, epoch and number of workers give the same batches, bit for bit; no worker and one are the same. Of
    several workers each takes its own row groups. Row groups are read in random order and mixed in a pool of
    `pool_bytes` (128 MiB), so that memory is bounded whatever the size of the dataset, in each worker. From a Hub row
    groups are fetched anew in every epoch, unless the files are in the cache of huggingface_hub.

    Raises UsageError where nothing matches, and as `layers`.
    """

    def __init__(
        self,
        repo_or_path: str | Path,
        kernel: str,
        *,
        batch_size: int = 8192,
        seed: int = 0,
        where: str | None = None,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        if batch_size < 1 or seed < 0:
            raise UsageError(f"a batch has at least one kernel and a seed is not negative: {batch_size=}, {seed=}")
        self._place = open_location(repo_or_path)
        this_size = duckdb.ColumnExpression("kernel") == duckdb.ConstantExpression(kernel)
        chosen = select_layers(self._place.index(), where, ["kernel_size", "n_kernels"], this_size)
        _, first = np.unique(np.array(chosen["layer_sha256"].to_pylist(), str), return_index=True)
        chosen = chosen.take(np.sort(first))
        if not chosen.num_rows:
            raise UsageError(f"{self._place}: no kernels of {kernel}" + (f" where {where}" if where else ""))
        self.kernel_size: tuple[int, ...] = tuple(chosen["kernel_size"][0].as_py())
        self.n_kernels: int = sum(chosen["n_kernels"].to_pylist())
        self._units = [
            _RowGroup(file=file, group=group, layers=tuple(layers))
            for file, groups in group_by_row_group(chosen).items()
            for group, layers in groups.items()
        ]
        self._batch_size = batch_size
        self._seed = seed
        self._pool = buffer_bytes
        # Shared, since workers that outlive an epoch have a copy of all else.
        self._epoch: torch.Tensor = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is next, from 0: each has an order of its own. Without it every pass is the same."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch = int(self._epoch)
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._units))[number::workers]
        taps = int(np.prod(self.kernel_size))
        seed = np.random.SeedSequence([self._seed, epoch, number, workers]).generate_state(1, np.uint64)
        random = torch.Generator().manual_seed(int(seed[0] >> 1))
        pool = ShuffleBuffer(self._pool // (4 * taps), taps, self._batch_size, random)
        for batch in pool.batches(self._read(order, taps)):
            yield batch.view(-1, *self.kernel_size)

    def _read(self, order: NDArray[np.int64], taps: int) -> Iterator[NDArray[np.float32]]:
        for unit in (self._units[number] for number in order):
            with open_parquet(self._place, unit.file) as file:
                for piece in read_layer_parts(file, unit.group, unit.layers):
                    yield piece.numbers.reshape(-1, taps)
