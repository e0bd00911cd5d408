"""Synthetic networks in layers of the sizes of ResNet-18: a dataset of ours, and an HDF5 file like CNN Filter DB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync

# (out, in) of the 3x3 convolutions of ResNet-18: 1,220,608 kernels.
LAYERS: Final = (
    *[(64, 64)] * 4, (128, 64), *[(128, 128)] * 3, (256, 128), *[(256, 256)] * 3, (512, 256), *[(512, 512)] * 3,
)  # fmt: skip
KERNELS: Final = sum(out * inputs for out, inputs in LAYERS)


def network(number: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield layers [out, in, 3, 3] of one network: correlated taps, other ones in each, some dead kernels."""
    generator = np.random.default_rng(number)
    own = np.linspace(1, 0.2, 9)[:, None] * np.linalg.qr(generator.standard_normal((9, 9)))[0]
    for depth, (out, inputs) in enumerate(LAYERS):
        weight = generator.standard_normal((out * inputs, 9), np.float32) @ (own * 0.05).astype(np.float32)
        weight += np.float32(0.002 * depth)
        weight[generator.random(len(weight)) < 0.02 * (depth % 4)] *= 1e-4
        yield f"layer{depth:02d}.weight", weight.reshape(out, inputs, 3, 3)


def write(folder: Path, networks: int) -> None:
    """Write `folder/dataset`, by a sync, and `folder/filters.h5`, uncompressed, which is the fastest to load."""
    zoo = folder / "zoo"
    zoo.mkdir(parents=True)
    with h5py.File(folder / "filters.h5", "w") as file:
        filters = file.create_dataset("filters", (networks * KERNELS, 3, 3), "f8")
        ranges, start = [], 0
        for number in range(networks):
            tensors = {}
            for name, weight in network(number):
                stop = start + weight.shape[0] * weight.shape[1]
                filters[start:stop] = weight.reshape(-1, 3, 3)
                ranges.append((number, start, stop))
                start = stop
                tensors[name] = torch.from_numpy(weight)
            save_file(tensors, zoo / f"net{number:02d}.safetensors")
        file["ranges"] = np.array(ranges, np.int64)
    settings = Settings(dataset=folder / "dataset", device="cpu")
    report = sync([f"local:{zoo}"], SyncContext(settings=settings, plugins=load_plugins()))
    assert not report.failures, report.failures
    for path in zoo.iterdir():
        path.unlink()
