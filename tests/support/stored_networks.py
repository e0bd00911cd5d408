"""Networks in every format that has entries or storages, read back through the bundled readers."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch

from filtercrawl.api.reader import Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.npz import NpzReader
from support.recording_file import WantedFile
from support.torch_files import READERS, OneFile, saved


def network(depth: int) -> dict[str, torch.Tensor]:
    """A state dict of `depth` blocks: a convolution, and a batch norm with its buffers."""
    torch.manual_seed(depth)
    state: dict[str, torch.Tensor] = {}
    for i in range(depth):
        state[f"layer{i}.conv.weight"] = torch.randn(8, 4 + i % 5, 3, 3)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"layer{i}.bn.{name}"] = torch.randn(8)
        state[f"layer{i}.bn.num_batches_tracked"] = torch.tensor(i)
    return state


def arrays(state: dict[str, torch.Tensor], save: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **{name: tensor.numpy() for name, tensor in state.items()})
    return buffer.getvalue()


FORMATS: dict[str, tuple[Reader, Callable[[dict[str, torch.Tensor]], bytes]]] = {
    "torch-zip": (READERS["torch-zip"], saved),
    "torch-legacy": (READERS["torch-legacy"], lambda state: saved(state, zipped=False)),
    "npz": (NpzReader(), lambda state: arrays(state, np.savez)),
    "npz-deflated": (NpzReader(), lambda state: arrays(state, np.savez_compressed)),
}


def structure(reader: Reader, file: WantedFile) -> dict[str, StoredTensor]:
    assert reader.can_read(file)
    return {tensor.name: tensor for tensor in reader.tensors(OneFile(file))}
