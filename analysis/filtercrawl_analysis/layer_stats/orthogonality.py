"""Orthogonality of the filters of a layer."""

from __future__ import annotations

import math

import torch

from filtercrawl_analysis.numerics.gram import BLOCK, pairwise_products

# The weights of a whole layer are held until it is complete: at most 16 MiB.
MAX_NUMBERS = 4_194_304
# Comparing all pairs grows with the square of the number of filters.
MAX_FILTERS = 4096
# From so many filters on, products are float32, several times as fast. The mean of thousands of magnitudes with errors
# of at most 1e-7 of either sign is as good as exact; with fewer filters, float64 is used.
MANY_FILTERS = 64
# Norms for which float32 products lose no digits, even those of nearly orthogonal filters.
_SAFE_NORMS = (1e-12, 1e12)


class FilterOrthogonality:
    """Orthogonality as defined by CNN Filter DB (arXiv 2203.15331): 1 - sum |W W^T - I| / (n (n - 1)).

    The rows of W are the n filters, [in_channels/groups * taps], each scaled to norm 1; a filter of zeros stays zero.
    All filters are needed at once, so layers of more than `MAX_NUMBERS` weights or `MAX_FILTERS` filters are left out.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Prepare for a layer with weights of this shape, [out_channels, in_channels/groups, *kernel_size]."""
        self._n_filters = shape[0]
        self._filter_size = math.prod(shape[1:])
        self._rows: torch.Tensor | None = None
        self._n_filled = 0
        self._result: float | None = None

    @property
    def defined(self) -> bool:
        """Whether orthogonality is computed for a layer of this shape."""
        return 2 <= self._n_filters <= MAX_FILTERS and self._n_filters * self._filter_size <= MAX_NUMBERS

    def update(self, filters: torch.Tensor) -> None:
        """Add the next filters as rows, [k, in_channels/groups * taps]."""
        if not self.defined:
            return
        dtype = torch.float64 if self._n_filters < MANY_FILTERS else torch.float32
        if len(filters) == self._n_filters and filters.dtype == dtype:
            self._result = orthogonality(filters)  # the layer is complete: nothing needs to be held
            return
        if self._rows is None:
            self._rows = torch.empty((self._n_filters, self._filter_size), dtype=dtype, device=filters.device)
        self._rows[self._n_filled : self._n_filled + len(filters)] = filters
        self._n_filled += len(filters)

    def set(self, value: float | None) -> None:
        """Set the orthogonality of the whole layer, computed elsewhere."""
        self._result = value

    def value(self) -> float | None:
        """Return the orthogonality of the finite filters; None for fewer than two."""
        return self._result if self._rows is None else orthogonality(self._rows[: self._n_filled])


def orthogonality(rows: torch.Tensor) -> float | None:
    """Return the orthogonality of filters, see `FilterOrthogonality`.

    Args:
        rows: Filters [n, k]; those with NaN or infinities are left out.

    Returns:
        The orthogonality; None for fewer than two finite filters.
    """
    norms = row_norms(rows)
    is_finite = norms.isfinite()
    if not bool(is_finite.all()):
        rows, norms = rows[is_finite], norms[is_finite]
    n = len(rows)
    if n < 2:
        return None
    # |W W^T - I| has 0 on the diagonal for a filter of norm 1, and 1 for a filter of zeros.
    total = float((norms == 0).sum())
    rows, inverse_norms = _rescale_extremes(rows, norms)
    for left, right, products in pairwise_products(rows):
        if left == right:
            # Leaving the diagonal out avoids the rounding of thousands of numbers close to 1.
            total += _weighted_sum(products.abs_().fill_diagonal_(0), inverse_norms[left], inverse_norms[left])
        else:
            # Blocks below the diagonal also stand for their transposes.
            total += 2 * _weighted_sum(products.abs_(), inverse_norms[left], inverse_norms[right])
    return 1 - total / (n * (n - 1))


def _weighted_sum(products: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> float:
    """Return sum_ij left_i products_ij right_j."""
    return float(left.double() @ (products @ right).double())


def row_norms(rows: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean norms [n] of rows [n, k], in float64 where float32 would lose digits of the squares."""
    norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=1)
    least, most = torch.aminmax(norms)
    if _SAFE_NORMS[0] < float(least) and float(most) < _SAFE_NORMS[1]:
        return norms
    wide: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return wide


def _rescale_extremes(rows: torch.Tensor, norms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows [n, k] whose products lose no digits, and the inverse norm of each; 1 for a row of zeros.

    Rows are returned unchanged where possible: weighting sums of products is cheaper than scaling rows.
    """
    divisors = torch.where(norms == 0, 1.0, norms)
    least, most = torch.aminmax(divisors)
    if _SAFE_NORMS[0] < float(least) and float(most) < _SAFE_NORMS[1]:
        return rows, (1 / divisors).to(rows.dtype)
    scaled = torch.empty_like(rows)
    for start in range(0, len(rows), BLOCK):
        scaled[start : start + BLOCK] = rows[start : start + BLOCK].double() / divisors[start : start + BLOCK, None]
    return scaled, torch.ones_like(divisors, dtype=rows.dtype)
