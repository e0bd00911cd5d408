"""One layout, one dtype, one scale: a layer's weight as float32 `[out, in/groups, *kernel_size]` on the device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.tensor import Quantization, SliceBounds, TensorLocation
from filtercrawl.extraction.layer import Layer


def to_float32(layer: Layer, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Read output channels `start` to `stop` of a layer.

    Returns float32 [stop - start, in_channels/groups, *kernel_size], contiguous, on `device`. Half precision is widened
    exactly; float64 is rounded to nearest; codes become `(code - zero_point) * scale`. Memory is that of the part.
    Raises CheckpointError where the file does not hold the bytes.
    """
    extent = layer.tensor.location
    assert extent is not None
    rest = tuple((0, size) for size in layer.shape[2:])
    if not layer.transposed:
        box: SliceBounds = ((start, stop), (0, layer.shape[1]), *rest)
        return read_float32(extent, box, layer.tensor.quantization, device)
    # Stored as [in, out/groups, *k]: the channels of one group are a block of rows, to be turned on its side.
    groups = layer.groups or 1
    width = layer.out_channels // groups
    pieces = []
    for group in range(start // width, (stop - 1) // width + 1):
        first, last = max(start - group * width, 0), min(stop - group * width, width)
        box = ((group * layer.shape[1], (group + 1) * layer.shape[1]), (first, last), *rest)
        pieces.append(read_float32(extent, box, layer.tensor.quantization, device).transpose(0, 1))
    return torch.cat(pieces).contiguous()


def read_float32(
    extent: TensorLocation, box: SliceBounds, quantization: Quantization | None, device: torch.device
) -> torch.Tensor:
    """Read a box of a stored tensor as float32 on the device, in the order of the file."""
    stored = as_tensor(extent.read(box), extent.dtype)
    if stored.dtype == torch.float64:
        stored = stored.float()  # before the move: not every device knows float64
    moved = stored.to(device)
    if quantization is None:
        return moved.float()
    shape = [1] * len(box)
    first, last = box[quantization.axis] if box else (0, 1)
    shape[quantization.axis] = -1
    zero = _along(quantization.zero_point, first, last, torch.int32, device).view(shape)
    scale = _along(quantization.scale, first, last, torch.float32, device).view(shape)
    return (moved.to(torch.int32) - zero).float() * scale


def as_tensor(raw: NDArray[np.uint8], dtype: str) -> torch.Tensor:
    """View raw little-endian bytes [*shape, itemsize] as a tensor of a torch dtype, without a copy."""
    flat = torch.from_numpy(raw.reshape(-1))
    return flat.view(getattr(torch, dtype)).view(raw.shape[:-1])


def _along(values: tuple[float, ...], first: int, last: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    chosen = values if len(values) == 1 else values[first:last]
    return torch.tensor(chosen, dtype=dtype, device=device)
