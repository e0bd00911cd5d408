"""Kernels of many layers as they are stored, and their normalization to float32 with a few operations on a device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl.extraction.widen import widen

# Stored types that a device widens, with the numpy type of the same size in which they are moved.
_MOVED_AS: Final[dict[str, type[np.generic]]] = {
    "float32": np.float32, "float16": np.float16, "bfloat16": np.int16, "float8_e4m3fn": np.uint8,
    "float8_e5m2": np.uint8, "float8_e4m3fnuz": np.uint8, "float8_e5m2fnuz": np.uint8, "int8": np.int8,
    "uint8": np.uint8,
}  # fmt: skip
_LARGEST: Final = float(np.finfo(np.float32).max)

Upload = Callable[[NDArray[Any]], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class StoredForm:
    """In which form the numbers of a layer are moved to a device.

    Attributes:
        dtype: Name of the stored type.
        quantized: Whether the numbers are codes with a scale and a zero point.
    """

    dtype: str = "float32"
    quantized: bool = False

    @property
    def moved_as(self) -> type[np.generic]:
        """The numpy type in which the numbers are moved."""
        return _MOVED_AS[self.dtype]

    @property
    def is_float32(self) -> bool:
        """Whether the numbers are the weights."""
        return self.dtype == "float32" and not self.quantized


def stored_form(layer: Layer) -> StoredForm:
    """Return the form in which the numbers of a layer are moved to a device.

    What is computed, masked or negated, and float64, is made float32 on the host.
    """
    location = _location(layer)
    if location is None or not _is_moved_as_stored(layer):
        return StoredForm()
    return StoredForm(dtype=location.dtype, quantized=layer.tensor.quantization is not None)


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Kernels of layers of one form and one kernel size, each layer from its own row on.

    Attributes:
        layers: The layers.
        first_rows: The row of the first kernel of each.
        form: The form of all of them.
        rows: [rows, taps] of the type `form.moved_as`; zeros where there is no kernel.
    """

    layers: Sequence[Layer]
    first_rows: Sequence[int]
    form: StoredForm
    rows: NDArray[Any]

    @property
    def is_reordered(self) -> bool:
        """Whether kernels are stored in another order than that of the layers' shapes."""
        return any(_is_transposed(layer) for layer in self.layers)

    def read(self) -> None:
        """Read the layers into `rows`, which may hold anything before.

        Raises:
            CheckpointError: A file does not hold the bytes.
        """
        end = 0
        for layer, first in zip(self.layers, self.first_rows, strict=True):
            self.rows[end:first] = 0
            end = first + layer.n_kernels
            _read_rows(layer, self.rows[first:end])
        self.rows[end:] = 0

    def normalize(self, upload: Upload) -> torch.Tensor:
        """Return the kernels as float32 [rows, taps] on a device, in the order of the layers' shapes.

        Widened, dequantized and transposed as by `to_float32`, to the same bits.

        Args:
            upload: Copies an array to the device.
        """
        kernels = upload(self.rows)
        if self.form.quantized:
            zero_point, scale = self._quantization()
            kernels = (kernels - upload(zero_point)) * upload(scale)
        elif not self.form.is_float32:
            stored = getattr(torch, self.form.dtype)
            kernels = widen(kernels if kernels.dtype == stored else kernels.view(stored))
        if self.is_reordered:
            kernels = kernels.index_select(0, upload(self._order()))
        return kernels

    def _quantization(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return zero point and scale of each stored row, [rows, 1]."""
        zero_points, scales = np.zeros((len(self.rows), 1), np.int32), np.ones((len(self.rows), 1), np.float32)
        for layer, first in zip(self.layers, self.first_rows, strict=True):
            quantization, (outer, inner) = layer.tensor.quantization, _stored_channels(layer)
            assert quantization is not None
            rows = slice(first, first + outer * inner)
            shape = (-1, 1) if quantization.axis == 0 else (1, -1)
            for target, values in ((zero_points, quantization.zero_point), (scales, quantization.scale)):
                per_channel = np.asarray(values, target.dtype).reshape(shape if len(values) > 1 else (1, 1))
                target[rows, 0] = np.broadcast_to(per_channel, (outer, inner)).reshape(-1)
        return zero_points, scales

    def _order(self) -> NDArray[np.int32]:
        """Return which stored row each row is."""
        order = np.arange(len(self.rows), dtype=np.int32)
        for layer, first in zip(self.layers, self.first_rows, strict=True):
            if _is_transposed(layer):
                # Stored as [in, out/groups, *k]: the channels of a group are a block of rows that has to be transposed.
                groups = layer.groups or 1
                stored = np.arange(layer.n_kernels).reshape(groups, layer.shape[1], -1)
                order[first : first + layer.n_kernels] = first + stored.transpose(0, 2, 1).reshape(-1)
        return order


def _location(layer: Layer) -> TensorLocation | None:
    """Return where the numbers of a layer are stored; None where a device cannot turn them into the weight."""
    tensor = layer.tensor
    return None if tensor.weight is not None or tensor.negated or layer.mask is not None else tensor.location


def _is_transposed(layer: Layer) -> bool:
    return layer.stored_transposed and _is_moved_as_stored(layer)


def _is_moved_as_stored(layer: Layer) -> bool:
    """Return whether the device turns the stored numbers into the weight; else the host does."""
    location, quantization = _location(layer), layer.tensor.quantization
    if location is None or location.dtype not in _MOVED_AS:
        return False
    # Scales that are not finite make NaN, whose sign differs between devices.
    return quantization is None or (
        quantization.axis <= 1 and all(abs(scale) <= _LARGEST for scale in quantization.scale)
    )


def _stored_channels(layer: Layer) -> tuple[int, int]:
    """Return the sizes of the first two axes in the order of the file."""
    out, inputs = layer.shape[:2]
    groups = layer.groups or 1
    return (inputs * groups, out // groups) if layer.stored_transposed else (out, inputs)


def _read_rows(layer: Layer, rows: NDArray[Any]) -> None:
    location = _location(layer)
    if location is None or not _is_moved_as_stored(layer):
        weight = to_float32(layer, 0, layer.out_channels, torch.device("cpu"))
        rows[...] = weight.view(rows.shape).numpy()
        return
    sizes = (*_stored_channels(layer), *layer.kernel_size)
    assert math.prod(sizes) == rows.size
    raw = rows.view(np.uint8).reshape(*sizes, location.itemsize)
    location.read_into(tuple((0, size) for size in sizes), raw)
