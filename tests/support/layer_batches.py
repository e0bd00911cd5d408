"""Batches of layers for tests of measures, built on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.layer_batch import BatchedLayer, LayerBatch


def batch_of(weights: Sequence[NDArray[np.float32]], block: int, *, filters_known: bool = True) -> LayerBatch:
    """Return a batch of layers `[out, in, *kernel_size]` of one kernel size."""
    layers, parts, first = [], [], 0
    for weight in weights:
        kernels = weight.reshape(weight.shape[0] * weight.shape[1], -1)
        layers.append(BatchedLayer(shape=weight.shape, first_row=first, filters_known=filters_known))
        parts.append(np.pad(kernels, ((0, -len(kernels) % block), (0, 0))))
        first += len(parts[-1])
    parts.append(np.zeros((block, parts[0].shape[1]), np.float32))
    return LayerBatch(
        layers=tuple(layers),
        block=block,
        kernels=torch.from_numpy(np.concatenate(parts)),
        upload=lambda array: torch.utils.dlpack.from_dlpack(array).to("cpu", copy=True),
    )
