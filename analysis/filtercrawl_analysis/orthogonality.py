"""How close to orthogonal the filters of a layer are."""

from __future__ import annotations

import math

import torch

from filtercrawl_analysis.covariance import gram

# Rows of a whole layer are kept until its end: at most 16 MiB.
MAX_NUMBERS = 4_194_304
# The comparison of all pairs grows with the square of the filters.
MAX_FILTERS = 4096
# Rows compared with as many others at a time: 1 MiB of products.
BLOCK = 512
# From so many filters on products are float32, several times as fast: the mean of thousands of magnitudes, each off by
# 1e-7 at most and either way, is as good as exact. Sums of few are taken in float64.
MANY_FILTERS = 64
# Lengths that float32 holds with all its digits, and their squares too.
_SAFE = (1e-18, 1e18)


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

    @property
    def defined(self) -> bool:
        """Whether a layer of this shape is compared at all."""
        return 2 <= self._filters <= MAX_FILTERS and self._filters * self._length <= MAX_NUMBERS

    def update(self, filters: torch.Tensor) -> None:
        """Take the next filters as rows: [k, in_channels/groups * taps]."""
        if not self.defined:
            return
        if self._rows is None:
            size = (self._filters, self._length)
            kind = torch.float64 if self._filters < MANY_FILTERS else torch.float32
            self._rows = torch.empty(size, dtype=kind, device=filters.device)
        self._rows[self._filled : self._filled + len(filters)] = filters
        self._filled += len(filters)

    def value(self) -> float | None:
        """Return the orthogonality of the filters that are all finite; None for fewer than two of them."""
        if self._rows is None:
            return None
        rows = self._rows[: self._filled]
        lengths = lengths_of(rows)
        finite = lengths.isfinite()
        if not bool(finite.all()):
            rows, lengths = rows[finite], lengths[finite]
        n = len(rows)
        if n < 2:
            return None
        normalize_rows(rows, lengths)
        # A row of length 1 has 1 on the diagonal, which I takes away; a row of zeros has 0, which it does not.
        total = float((lengths == 0).sum())
        for start in range(0, n, BLOCK):
            block = rows[start : start + BLOCK]
            # The diagonal is left out: a sum of some thousand numbers that are 1 but for rounding.
            total += float(gram(block).abs_().fill_diagonal_(0).sum(dtype=torch.float64))
            for beyond in torch.split(rows[start + BLOCK :], BLOCK):
                # What lies right of the diagonal blocks stands for its mirror image too.
                total += 2 * float((block @ beyond.T).abs_().sum(dtype=torch.float64))
        return 1 - total / (n * (n - 1))


def lengths_of(rows: torch.Tensor) -> torch.Tensor:
    """Return the lengths of rows [n, k], [n], in float32 where none is so small or large that squares lose digits."""
    lengths: torch.Tensor = torch.linalg.vector_norm(rows, dim=1)
    least, most = torch.aminmax(lengths)
    if _SAFE[0] < float(least) and float(most) < _SAFE[1]:
        return lengths
    exact: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return exact


def normalize_rows(rows: torch.Tensor, lengths: torch.Tensor) -> None:
    """Scale rows [n, k] in place to length 1; lengths: theirs [n]; a row of zeros stays one."""
    divisors = torch.where(lengths == 0, 1.0, lengths)[:, None]
    least, most = torch.aminmax(divisors)
    if _SAFE[0] < float(least) and float(most) < _SAFE[1]:
        rows /= divisors.to(rows.dtype)
        return
    for start in range(0, len(rows), BLOCK):
        rows[start : start + BLOCK] = rows[start : start + BLOCK].double() / divisors[start : start + BLOCK]
