"""Split banks of expert kernels (conditional convolutions) into one layer each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from filtercrawl.api.tensor import StoredTensor, TensorLocation, row_major


def expand_banks(tensor: StoredTensor) -> Iterator[StoredTensor]:
    """Yield the experts of a bank, each a tensor `bank` of the same name with its bank_index; any other as it is.

    The bank is `[n, prod(bank)]` or `[n, *bank]`; an expert's extent is a view of the bank's.
    """
    if tensor.bank is None:
        yield tensor
        return
    for i in range(tensor.shape[0]):
        extent = tensor.location
        quantization = tensor.quantization
        if extent is not None:
            inner = extent.strides[1:]
            if len(inner) != len(tensor.bank):
                inner = tuple(stride * inner[0] for stride in row_major(tensor.bank))
            offset = extent.offset + i * extent.strides[0] * extent.itemsize
            extent = TensorLocation(
                file=extent.file, offset=offset, dtype=extent.dtype, shape=tensor.bank, strides=inner
            )
        if quantization is not None and quantization.axis == 0 and len(quantization.scale) > 1:
            zero_point = quantization.zero_point
            zero_point = zero_point[i : i + 1] if len(zero_point) > 1 else zero_point
            quantization = replace(quantization, scale=quantization.scale[i : i + 1], zero_point=zero_point)
        yield replace(tensor, shape=tensor.bank, location=extent, quantization=quantization, bank=None, bank_index=i)
