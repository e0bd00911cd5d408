"""Products of all pairs of rows, no more than half of them multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

# Rows multiplied with as many others at a time: 1 MiB of products.
BLOCK: Final = 512
# The same for oneDNN, which multiplies diagonal blocks whole: smaller ones waste less.
_BLOCK_OF_ONEDNN: Final = 128


def gram(rows: torch.Tensor) -> torch.Tensor:
    """Return the products of all pairs of rows [n, k], [n, n]: rows @ rows.T.

    On the CPU by numpy, which multiplies one half and mirrors it: torch knows no such product.
    """
    if rows.device.type != "cpu":
        return rows @ rows.T
    array = rows.numpy()
    return torch.from_numpy(array @ array.T)


def pair_products(rows: torch.Tensor) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield the products of rows [n, k] by blocks on and right of the diagonal: which rows, with which, rows @ rows.T.

    On the CPU, many float32 rows go through oneDNN, which uses vectors of 512 bits on every processor that has them;
    the BLAS of numpy knows some of those as older ones and takes half as long again.
    """
    n = len(rows)
    vectors = rows.device.type == "cpu" and rows.dtype == torch.float32 and n >= _BLOCK_OF_ONEDNN and _has_onednn()
    step = _BLOCK_OF_ONEDNN if vectors else BLOCK
    for start in range(0, n, step):
        here = slice(start, min(start + step, n))
        block = rows[here].to_mkldnn() if vectors else rows[here]
        for beyond in range(start, n, step):
            there = slice(beyond, min(beyond + step, n))
            if vectors:
                other = block if beyond == start else rows[there].to_mkldnn()
                products = torch.nn.functional.linear(block, other).to_dense()
            else:
                products = gram(block) if beyond == start else block @ rows[there].T
            yield here, there, products


def _has_onednn() -> bool:
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and torch.backends.cpu.get_cpu_capability() == "AVX512"
