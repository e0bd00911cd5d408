"""Gram matrices: products of all pairs of rows, computing little more than one triangle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import torch

# Rows per block: 1 MiB of products.
BLOCK: Final = 512
# Rows per block for oneDNN, which multiplies diagonal blocks in full: smaller blocks waste less, and larger ones take
# twice as long.
_ONEDNN_BLOCK: Final = 64


def gram(rows: torch.Tensor) -> torch.Tensor:
    """Return rows @ rows.T, [n, n], of rows [n, k].

    On the CPU by numpy, which multiplies one triangle and mirrors it; torch has no such product.
    """
    if rows.device.type != "cpu":
        return rows @ rows.T
    array = rows.numpy()
    return torch.from_numpy(array @ array.T)


def pairwise_products(rows: torch.Tensor) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield the blocks of rows @ rows.T on and below the diagonal.

    On the CPU, many float32 rows go through oneDNN, which uses 512-bit vectors on every processor that has them. The
    BLAS of numpy takes some of these processors for older ones and needs half as long again.

    Args:
        rows: Rows, [n, k].

    Yields:
        The rows of the block, its columns, and the products.
    """
    n = len(rows)
    many_float32 = rows.device.type == "cpu" and rows.dtype == torch.float32 and n >= _ONEDNN_BLOCK
    product = _onednn_product() if many_float32 else None
    step = BLOCK if product is None else _ONEDNN_BLOCK
    for start in range(0, n, step):
        stop = min(start + step, n)
        diagonal, below = slice(start, stop), slice(stop, n)
        if product is not None:
            strip = product(rows[start:], rows[diagonal])  # one call: square blocks would take twice as long
            yield diagonal, diagonal, strip[: stop - start]
            if stop < n:
                yield below, diagonal, strip[stop - start :]
            continue
        yield diagonal, diagonal, gram(rows[diagonal])
        if stop < n:
            yield below, diagonal, rows[below] @ rows[diagonal].T


@cache
def _onednn_product() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
    """Return a function that computes a @ b.T of float32 tensors by oneDNN, without copying them.

    torch's public operations either copy their operands for oneDNN or call MKL, which leaves half of the vector width
    of other vendors' processors unused. The private operation that torch's own compiler calls does neither. As it is
    private, its result is checked once before it is used.

    Returns:
        The function, or None where the processor does not profit or this torch does not have the operation.
    """
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")  # noqa: SLF001
        return result

    sample = torch.arange(6.0).reshape(3, 2)
    try:
        correct = torch.equal(product(sample, sample[:2]), sample @ sample[:2].T)
    except (RuntimeError, AttributeError, TypeError):
        return None
    return product if correct else None
