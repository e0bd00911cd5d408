"""Products of all pairs of rows, no more than half of them multiplied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import torch

# Rows multiplied with as many others at a time: 1 MiB of products.
BLOCK: Final = 512
# The same for oneDNN, which multiplies diagonal blocks whole: smaller ones waste less, larger ones take twice as long.
_BLOCK_OF_ONEDNN: Final = 64


def gram(rows: torch.Tensor) -> torch.Tensor:
    """Return the products of all pairs of rows [n, k], [n, n]: rows @ rows.T.

    On the CPU by numpy, which multiplies one half and mirrors it: torch knows no such product.
    """
    if rows.device.type != "cpu":
        return rows @ rows.T
    array = rows.numpy()
    return torch.from_numpy(array @ array.T)


def pairwise_products(rows: torch.Tensor) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield the products of rows [n, k] by blocks on and below the diagonal: which rows, with which, rows @ rows.T.

    On the CPU, many float32 rows go through oneDNN, which uses vectors of 512 bits on every processor that has them;
    the BLAS of numpy knows some of those as older ones and takes half as long again.
    """
    n = len(rows)
    vectors = rows.device.type == "cpu" and rows.dtype == torch.float32 and n >= _BLOCK_OF_ONEDNN
    product = _onednn() if vectors else None
    step = BLOCK if product is None else _BLOCK_OF_ONEDNN
    for start in range(0, n, step):
        stop = min(start + step, n)
        here, below = slice(start, stop), slice(stop, n)
        if product is not None:
            strip = product(rows[start:], rows[here])  # at once: of square blocks it takes twice as long
            yield here, here, strip[: stop - start]
            if stop < n:
                yield below, here, strip[stop - start :]
            continue
        yield here, here, gram(rows[here])
        if stop < n:
            yield below, here, rows[below] @ rows[here].T


@cache
def _onednn() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
    """Return a @ b.T by oneDNN, of float32 tensors as they lie; None where it is not worth it, or torch has it not.

    torch's public operations either copy what they give to oneDNN or ask MKL, which leaves half of the vectors of other
    makers' processors unused. The one that its own compiler calls does neither; it is tried before it is believed.
    """
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")  # noqa: SLF001
        return found

    numbers = torch.arange(6.0).reshape(3, 2)
    try:
        right = torch.equal(product(numbers, numbers[:2]), numbers @ numbers[:2].T)
    except (RuntimeError, AttributeError, TypeError):
        return None
    return product if right else None
