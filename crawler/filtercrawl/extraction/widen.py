"""Widen stored floats to float32, to the same bits on every machine: they are hashed.

All numbers but NaN are widened exactly. Which NaN of float32 one of fewer bits becomes differs between processors, in
torch even between places of one tensor. Here it has the sign of the stored NaN and its payload in the uppermost bits:

- bfloat16: the stored bits are the upper half of those of float32, also where they are a signaling NaN;
- float16: also the bit is set that makes a NaN quiet, as the instructions of processors (F16C) do;
- 8-bit floats: as torch widens them on the CPU, without instructions of their own; `float8_e5m2` agrees with float16.

A NaN that was computed is `COMPUTED_NAN`: processors disagree on its sign.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import torch

# The bits of a quiet NaN of float32 without sign and payload.
COMPUTED_NAN: Final = 0x7FC00000


def widen(values: torch.Tensor) -> torch.Tensor:
    """Return floats of at most 32 bits as float32, with a fixed number of operations on any device."""
    if values.itemsize > 2:
        return values.float()
    codes = values.view(torch.int16 if values.itemsize == 2 else torch.uint8)
    return _all_numbers(values.dtype, values.device)[codes.int()]  # a code below zero counts from the end


@cache
def _all_numbers(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the numbers of a type of 16 or 8 bits, in the order of their bits as an unsigned integer."""
    codes = torch.arange(1 << (8 * dtype.itemsize), dtype=torch.int32)
    if dtype == torch.bfloat16:
        return (codes << 16).view(torch.float32).to(device)
    stored = codes.to(torch.uint8 if dtype.itemsize == 1 else torch.uint16).view(dtype)
    numbers = stored.float()
    if dtype == torch.float16:
        nan = ((codes & 0x8000) << 16) | COMPUTED_NAN | ((codes & 0x3FF) << 13)
        numbers = torch.where(numbers.isnan(), nan.view(torch.float32), numbers)
    return numbers.to(device)


def widen_into(out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Convert numbers on the CPU to float32; float64 and integers are rounded to nearest.

    To the same bits as `widen`, but several times as fast where no float16 is NaN.

    Args:
        out: Receives the numbers, float32 of the shape of `values`.
        values: Numbers of any type.

    Returns:
        `out`.
    """
    out.copy_(values)
    if values.dtype == torch.float16 and has_nan(out):
        out.copy_(widen(values))
    return out


def widen_on_host(values: torch.Tensor) -> torch.Tensor:
    """Return numbers on the CPU as float32; see `widen_into`."""
    return values if values.dtype == torch.float32 else widen_into(torch.empty(values.shape), values)


def settle_nan(computed: torch.Tensor) -> torch.Tensor:
    """Return computed float32 on the CPU with `COMPUTED_NAN` in place of each NaN."""
    if not has_nan(computed):
        return computed
    return computed.view(torch.int32).masked_fill(computed.isnan(), COMPUTED_NAN).view(torch.float32)


def has_nan(values: torch.Tensor) -> bool:
    """Return whether floats on the CPU hold a NaN."""
    return values.numel() > 0 and bool(torch.aminmax(values)[0].isnan())
