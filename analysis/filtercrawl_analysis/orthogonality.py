"""How close to orthogonal the filters of a layer are."""

from __future__ import annotations

import math

import torch

# Float64 rows of a whole layer are kept until its end: at most 32 MiB.
MAX_NUMBERS = 4_194_304
# The comparison of all pairs grows with the square of the filters.
MAX_FILTERS = 4096
# Rows compared with all others at a time: at most 16 MiB of products.
BLOCK = 512


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
            self._rows = torch.empty(size, dtype=torch.float64, device=filters.device)
        self._rows[self._filled : self._filled + len(filters)] = filters
        self._filled += len(filters)

    def value(self) -> float | None:
        """Return the orthogonality of the filters that are all finite; None for fewer than two of them."""
        if self._rows is None:
            return None
        rows = self._rows[: self._filled]
        lengths = torch.linalg.vector_norm(rows, dim=1)
        finite = lengths.isfinite()
        if not bool(finite.all()):
            rows, lengths = rows[finite], lengths[finite]
        n = len(rows)
        if n < 2:
            return None
        rows /= torch.where(lengths == 0, 1.0, lengths)[:, None]
        total = 0.0
        for start in range(0, n, BLOCK):
            block = rows[start : start + BLOCK]
            square = (block @ block.T).fill_diagonal_(0).abs_().sum()
            # What lies right of the diagonal blocks stands for its mirror image too.
            beside = (block @ rows[start + len(block) :].T).abs_().sum()
            diagonal = (block.square().sum(1) - 1).abs_().sum()
            total += float(square + 2 * beside + diagonal)
        return 1 - total / (n * (n - 1))
