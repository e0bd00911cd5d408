"""How close to orthogonal the filters of a layer are."""

from __future__ import annotations

import math

import torch

from filtercrawl_analysis.numerics.gram import BLOCK, pairwise_products

# Rows of a whole layer are kept until its end: at most 16 MiB.
MAX_NUMBERS = 4_194_304
# The comparison of all pairs grows with the square of the filters.
MAX_FILTERS = 4096
# From so many filters on products are float32, several times as fast: the mean of thousands of magnitudes, each off by
# 1e-7 at most and either way, is as good as exact. Sums of few are taken in float64.
MANY_FILTERS = 64
# Lengths whose products float32 holds with all its digits, also those of filters that are all but orthogonal.
_SAFE = (1e-12, 1e12)


class FilterOrthogonality:
    """1 - sum |W W^T - I| / (n (n - 1)) for the n filters of a layer, each scaled to length 1.

    The definition of CNN Filter DB (arXiv 2203.15331): rows of W are filters, [in_channels/groups * taps]; a
    row of zeros stays one. It needs the whole layer at once, so layers over MAX_NUMBERS numbers or
    MAX_FILTERS filters are left out.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._filters = shape[0]
        self._length = math.prod(shape[1:])
        self._rows: torch.Tensor | None = None
        self._filled = 0
        self._whole: float | None = None

    @property
    def defined(self) -> bool:
        """Whether a layer of this shape is compared at all."""
        return 2 <= self._filters <= MAX_FILTERS and self._filters * self._length <= MAX_NUMBERS

    def update(self, filters: torch.Tensor) -> None:
        """Take the next filters as rows: [k, in_channels/groups * taps]."""
        if not self.defined:
            return
        kind = torch.float64 if self._filters < MANY_FILTERS else torch.float32
        if len(filters) == self._filters and filters.dtype == kind:
            self._whole = orthogonality(filters)  # all at once: nothing need be kept
            return
        if self._rows is None:
            self._rows = torch.empty((self._filters, self._length), dtype=kind, device=filters.device)
        self._rows[self._filled : self._filled + len(filters)] = filters
        self._filled += len(filters)

    def value(self) -> float | None:
        """Return the orthogonality of the filters that are all finite; None for fewer than two of them."""
        return self._whole if self._rows is None else orthogonality(self._rows[: self._filled])


def orthogonality(rows: torch.Tensor) -> float | None:
    """Return the orthogonality of those filters, rows [n, k], that are all finite; None for fewer than two."""
    lengths = lengths_of(rows)
    finite = lengths.isfinite()
    if not bool(finite.all()):
        rows, lengths = rows[finite], lengths[finite]
    n = len(rows)
    if n < 2:
        return None
    # A row of length 1 has 1 on the diagonal, which I takes away; a row of zeros has 0, which it does not.
    total = float((lengths == 0).sum())
    rows, inverse = _bounded(rows, lengths)
    for here, there, products in pairwise_products(rows):
        if here == there:
            # The diagonal is left out: a sum of some thousand numbers that are 1 but for rounding.
            total += _weighted(products.abs_().fill_diagonal_(0), inverse[here], inverse[here])
        else:
            # What lies below the diagonal blocks stands for its mirror image too.
            total += 2 * _weighted(products.abs_(), inverse[here], inverse[there])
    return 1 - total / (n * (n - 1))


def _weighted(products: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> float:
    """Return sum_ij left_i products_ij right_j."""
    return float(left.double() @ (products @ right).double())


def lengths_of(rows: torch.Tensor) -> torch.Tensor:
    """Return the lengths of rows [n, k], [n], in float32 where none is so small or large that squares lose digits."""
    lengths: torch.Tensor = torch.linalg.vector_norm(rows, dim=1)
    least, most = torch.aminmax(lengths)
    if _SAFE[0] < float(least) and float(most) < _SAFE[1]:
        return lengths
    exact: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return exact


def _bounded(rows: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows [n, k] whose products keep their digits, and the inverse of each one's length; 1 for a row of zeros.

    The rows themselves wherever that will do: to scale sums of products takes less than to scale rows.
    """
    divisors = torch.where(lengths == 0, 1.0, lengths)
    least, most = torch.aminmax(divisors)
    if _SAFE[0] < float(least) and float(most) < _SAFE[1]:
        return rows, (1 / divisors).to(rows.dtype)
    scaled = torch.empty_like(rows)
    for start in range(0, len(rows), BLOCK):
        scaled[start : start + BLOCK] = rows[start : start + BLOCK].double() / divisors[start : start + BLOCK, None]
    return scaled, torch.ones_like(divisors, dtype=rows.dtype)
