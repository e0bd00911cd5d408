"""A dataset folder with a catalog and layers files, filled without a sync."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.files.layer_store import LocalLayerStore
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables.staged_layers import StagedLayers, fingerprint
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.ledger import LedgerEntry
from filtercrawl.pipeline.crawling.stage_layers import LayerStager

SHAPE = (2, 3, 3, 3)


@dataclass(frozen=True)
class Repository:
    """A layer store with files that are not in the dataset folder until they are fetched."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)

    def take(self, path: str) -> None:
        """Move a file out of the folder."""
        self.files[path] = (self.folder / path).read_bytes()
        (self.folder / path).unlink()

    def contains(self, path: str) -> bool:
        return path in self.files

    def fetch(self, path: str) -> None:
        if path in self.files:
            (self.folder / path).write_bytes(self.files[path])

    def can_fetch(self, path: str) -> bool:
        return self.contains(path)

    def added(self, path: str) -> None:
        pass

    def free_space(self) -> int:
        return 0


@contextmanager
def writable_dataset(folder: Path) -> Iterator[WritableDataset]:
    """Open a dataset folder without repairs, and without a lock."""
    with Catalog(folder) as catalog:
        yield WritableDataset(folder=folder, catalog=catalog, layer_store=LocalLayerStore(folder))


def weight(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def stage(folder: Path, model_id: str, seed: int = 0) -> StagedLayers:
    """Stage one layer, whose numbers follow from the seed, in a dataset folder."""
    location = TensorLocation(file=MemoryFile(weight(seed).tobytes()), offset=0, dtype="float32", shape=SHAPE)
    tensor = StoredTensor(name="conv.weight", key="conv.weight", shape=SHAPE, dtype="float32", location=location)
    stager = LayerStager(staging=folder / TEMPORARY, device=torch.device("cpu"), measures=())
    return stager.write(model_id, model_id.partition("/")[0], classify_tensors([tensor]).layers)


def model_row(name: str, **columns: Any) -> ModelRow:
    """A checkpoint of the source `lab` that was read; its file is like no other's."""
    stated: dict[str, Any] = {
        "model_id": f"lab/{name}", "source": "lab", "name": name, "outcome": "emitted", "revision": "r1",
        "url": f"https://lab.example/{name}", "file_sha256": hashlib.sha256(name.encode()).hexdigest(),
        "kernel_policy": "spatial", "n_layers": 1, "n_kernels": 6, "n_kernels_3x3": 6, "tensors_emitted": 1,
        "tensors_skipped": 0, **columns,
    }  # fmt: skip
    return ModelRow(**stated)


def store(dataset: WritableDataset, name: str, seed: int = 0, **columns: Any) -> ModelRow:
    """Store a checkpoint with one layer; of those with the same seed one stores the weights."""
    catalog, row = dataset.catalog, model_row(name, **columns)
    layers = stage(dataset.folder, row.model_id, seed)
    digest = fingerprint(layers.rows)
    ledger = [LedgerEntry(tensor="conv.weight", shape=SHAPE, dtype="float32", reason=None)]
    with catalog.transaction():
        catalog.put_model(row, digest)
        catalog.put_content(row.model_id, layers.rows, ledger)
        WeightOwnership(dataset=dataset).settle(catalog.with_layers(digest or ""), arriving=(row.model_id, layers))
    catalog.set_meta("stale", "0")  # as if it had been exported since
    return stored(dataset, name)


def stored(dataset: WritableDataset, name: str) -> ModelRow:
    row = dataset.catalog.model(f"lab/{name}")
    assert row is not None
    return row
