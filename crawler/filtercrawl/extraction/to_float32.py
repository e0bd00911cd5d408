"""Read a layer's weight as float32 `[out, in/groups, *kernel_size]` on a device."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.tensor import Quantization
from filtercrawl.api.tensor_location import SliceBounds, TensorLocation
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.widen import settle_nan, widen_into, widen_on_host

_CPU: Final = torch.device("cpu")


def to_float32(layer: Layer, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Read some output channels of a layer.

    Half precision is widened exactly, float64 is rounded to nearest, quantized codes become
    `(code - zero_point) * scale`, a masked weight its product with the mask. Which bits NaN has is stated in `widen`.
    The host computes, so that all devices have the same bits. Memory is proportional to the part that is read.

    Args:
        layer: The layer.
        start: First output channel.
        stop: End of the output channels, exclusive.
        device: Device of the result.

    Returns:
        float32 `[stop - start, in_channels/groups, *kernel_size]`, contiguous.

    Raises:
        CheckpointError: The file does not hold the bytes.
    """
    rest = tuple((0, size) for size in layer.shape[2:])
    if not layer.stored_transposed:
        bounds: SliceBounds = ((start, stop), (0, layer.shape[1]), *rest)
        return _read(layer, bounds).to(device)
    # Stored as [in, out/groups, *k]: the channels of a group are a block of rows that has to be transposed.
    groups = layer.groups or 1
    width = layer.out_channels // groups
    blocks = []
    for group in range(start // width, (stop - 1) // width + 1):
        first, last = max(start - group * width, 0), min(stop - group * width, width)
        bounds = ((group * layer.shape[1], (group + 1) * layer.shape[1]), (first, last), *rest)
        blocks.append(_read(layer, bounds).transpose(0, 1))
    return torch.cat(blocks).contiguous().to(device)


def to_float32_in(out: NDArray[np.float32], layer: Layer, start: int, stop: int, device: torch.device) -> torch.Tensor:
    """Read some output channels of a layer into memory; see `to_float32`.

    Args:
        out: Receives the numbers, row-major.
        layer: The layer.
        start: First output channel.
        stop: End of the output channels, exclusive.
        device: Device of the result.

    Returns:
        The weight, as `to_float32` returns it; on the CPU it is a view of `out`.
    """
    tensor, shape = layer.tensor, (stop - start, *layer.shape[1:])
    target = torch.from_numpy(out).view(shape)
    if tensor.location is None or not is_stored_in_order(layer):
        return target.copy_(to_float32(layer, start, stop, _CPU)).to(device)
    bounds: SliceBounds = ((start, stop), *((0, size) for size in layer.shape[1:]))
    if tensor.location.dtype == "float32":
        tensor.location.read_into(bounds, out.view(np.uint8).reshape(*shape, 4))
    else:
        widen_into(target, as_tensor(tensor.location.read(bounds), tensor.location.dtype))
    return target.to(device)


def is_stored_in_order(layer: Layer) -> bool:
    """Return whether the weight is a stored tensor as it is: nothing is computed, and no axis is moved."""
    tensor = layer.tensor
    is_computed = tensor.weight is not None or tensor.quantization is not None or layer.mask is not None
    return not (is_computed or tensor.negated or layer.stored_transposed)


def _read(layer: Layer, bounds: SliceBounds) -> torch.Tensor:
    """Read a slice of a layer's weight with the axes in the order of the file."""
    tensor = layer.tensor
    if tensor.weight is not None:
        weight = torch.from_numpy(tensor.weight.read_float32(bounds))
    else:
        assert tensor.location is not None
        weight = read_float32(tensor.location, bounds, tensor.quantization)
    if tensor.negated:
        weight = -weight
    return weight if layer.mask is None else settle_nan(weight * read_float32(layer.mask, bounds))


def read_float32(
    location: TensorLocation, bounds: SliceBounds, quantization: Quantization | None = None
) -> torch.Tensor:
    """Read a slice of a stored tensor as float32, with the axes in the order of the file."""
    stored = as_tensor(location.read(bounds), location.dtype)
    if quantization is None:
        return widen_on_host(stored)
    shape = [1] * len(bounds)
    first, last = bounds[quantization.axis] if bounds else (0, 1)
    shape[quantization.axis] = -1
    zero = _along(quantization.zero_point, first, last, torch.int32).view(shape)
    scale = _along(quantization.scale, first, last, torch.float32).view(shape)
    return settle_nan((stored.to(torch.int32) - zero).float() * scale)


def as_tensor(raw: NDArray[np.uint8], dtype: str) -> torch.Tensor:
    """View raw little-endian bytes [*shape, itemsize] as a tensor of a torch dtype, without a copy."""
    flat = torch.from_numpy(raw.reshape(-1))
    return flat.view(getattr(torch, dtype)).view(raw.shape[:-1])


def _along(values: tuple[float, ...], first: int, last: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(values if len(values) == 1 else values[first:last], dtype=dtype)
