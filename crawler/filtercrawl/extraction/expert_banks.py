"""Split banks of expert kernels (conditional convolutions) into one layer each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.range_file import Span
from filtercrawl.api.tensor import ComputedWeight, StoredTensor
from filtercrawl.api.tensor_location import SliceBounds, TensorLocation, row_major


def expand_banks(tensor: StoredTensor) -> Iterator[StoredTensor]:
    """Split a bank of kernels, or a tensor of several layers (`tensor.parts`); yields any other unchanged.

    A bank is stored as `[n, prod(bank)]` or `[n, *bank]`.

    Args:
        tensor: A stored tensor; `tensor.bank` is the shape of one expert, None if it is no bank.

    Yields:
        One tensor of shape `tensor.bank` for each expert, with the name of the bank and its `bank_index`. Its location
        is a
        view of the bank's location; nothing is read.
    """
    if tensor.parts:
        yield from tensor.parts
        return
    if tensor.bank is None:
        yield tensor
        return
    for i in range(tensor.shape[0]):
        location = tensor.location
        quantization = tensor.quantization
        if location is not None:
            inner = location.strides[1:]
            if len(inner) != len(tensor.bank):
                inner = tuple(stride * inner[0] for stride in row_major(tensor.bank))
            offset = location.offset + i * location.strides[0] * location.itemsize
            location = TensorLocation(
                file=location.file, offset=offset, dtype=location.dtype, shape=tensor.bank, strides=inner
            )
        if quantization is not None and quantization.axis == 0 and len(quantization.scale) > 1:
            zero_point = quantization.zero_point
            zero_point = zero_point[i : i + 1] if len(zero_point) > 1 else zero_point
            quantization = replace(quantization, scale=quantization.scale[i : i + 1], zero_point=zero_point)
        yield replace(
            tensor,
            shape=tensor.bank,
            location=location,
            quantization=quantization,
            weight=None if tensor.weight is None else _ExpertWeight(bank=tensor.weight, index=i, shape=tensor.bank),
            bank=None,
            bank_index=i,
        )


@dataclass(frozen=True, kw_only=True)
class _ExpertWeight:
    """The kernels of one expert in a bank that is computed.

    Attributes:
        bank: All experts: `[n, prod(shape)]` or `[n, *shape]`.
        index: Index of the expert.
        shape: Shape of its kernels.
    """

    bank: ComputedWeight
    index: int
    shape: tuple[int, ...]

    def read_float32(self, box: SliceBounds) -> NDArray[np.float32]:
        """Compute a box of the kernels."""
        expert = (self.index, self.index + 1)
        if len(self.bank.shape) > 2:
            return self.bank.read_float32((expert, *box)).reshape([stop - start for start, stop in box])
        row = self.bank.read_float32((expert, (0, self.bank.shape[1])))
        return np.ascontiguousarray(row.reshape(self.shape)[tuple(slice(*bounds) for bounds in box)])

    def spans(self) -> Iterable[Span]:
        """Yield the bytes that the bank is computed from."""
        return self.bank.spans()
