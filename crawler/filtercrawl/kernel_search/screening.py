"""A test in float32 that every kernel passes which may be among the nearest, and few others.

A kernel may be among the k nearest of a query if the product of the two reaches `cut * scale + offset`. The cut depends
on the query and on the k-th nearest kernel so far, scale and offset on the kernel. All three are made smaller by bounds
on the rounding errors: a sum of `taps` products is off by at most `taps` roundoffs of the product of the norms, in
whatever order it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from filtercrawl.kernel_search.neighbors import NearestSoFar
from filtercrawl.kernel_search.query import Query
from filtercrawl.load.tensors import to_flat_tensor

# Squared norms that float32 holds with its full precision.
SMALL: Final = 1e-30
LARGE: Final = 1e30
_UNIT_ROUNDOFF: Final = float(np.finfo(np.float32).eps) / 2
# Products that are computed at a time. Those on a CPU stay in its cache; a GPU has more memory to keep busy.
_PRODUCTS_ON_CPU: Final = 1 << 19
_PRODUCTS_ELSEWHERE: Final = 1 << 25
_MIN_KERNELS: Final = 256
_MAX_KERNELS: Final = 1 << 16
# Numbers of the kernels of these products: more than a block has.
_MAX_NUMBERS: Final = 1 << 23
# Pairs that pass before thresholds are raised.
MAX_PAIRS: Final = 1 << 16


class Pairs(NamedTuple):
    """Pairs of a query and of a kernel of a block that passed the test, int64 [pairs] each."""

    query: NDArray[np.int64]
    column: NDArray[np.int64]

    @classmethod
    def joined(cls, several: Sequence[Pairs]) -> Self:
        """Return the pairs of all of these, of which there is at least one."""
        return cls(*(np.concatenate(values) for values in zip(*several, strict=True)))

    def split(self, size: int) -> Iterator[Self]:
        """Yield the pairs in parts of at most `size`."""
        for start in range(0, len(self.query), size):
            yield type(self)(self.query[start : start + size], self.column[start : start + size])


class Screen(Protocol):
    """Tests all kernels of a block for all queries."""

    def pairs(self, kernels: NDArray[np.float32], nearest: NearestSoFar) -> Iterator[Pairs]:
        """Yield the pairs that pass.

        Args:
            kernels: `[m, taps]`.
            nearest: What later kernels are compared with; it may change between pairs.
        """
        ...


class Cuts:
    """The sides of the queries.

    Attributes:
        left: Images of queries, float32 `[images, n, taps]`.
        error: Bound on the rounding error of a product, relative to the product of the norms.
    """

    def __init__(self, query: Query) -> None:
        """Make the images."""
        self._similarity = query.similarity
        images = query.images()
        self._squares: NDArray[np.float64] = (images[0] ** 2).sum(-1).numpy()
        # Products with such queries may overflow: all kernels pass.
        self._too_large = self._squares > LARGE
        images[:, torch.from_numpy(self._too_large)] = 0
        self.left: NDArray[np.float32] = images.float().numpy()
        self.error: float = (query.taps + 8) * _UNIT_ROUNDOFF

    def __call__(self, threshold: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the cut of each query by the score that has to be reached."""
        if not self._similarity.at_norm_one:
            cut = (threshold + self._squares * (1 - 3 * self.error) - SMALL) / 2
        elif self._similarity.metric == "cosine":
            cut = threshold - 2 * self.error
        else:  # at norm 1 the squared distance is 2 - 2 * cosine
            cut = threshold / 2 + 1 - 2 * self.error
        with np.errstate(over="ignore"):
            smaller = np.nextafter(cut.astype(np.float32), np.float32(-np.inf))
        return np.where(self._too_large, np.float32(-np.inf), smaller)


class TorchScreen:
    """Tests by matrix products of torch, on any device."""

    def __init__(self, query: Query) -> None:
        """Allocate the memory for products."""
        self._query = query
        self._cuts = Cuts(query)
        self._n_images, self._n, taps = self._cuts.left.shape
        self._left = torch.from_numpy(self._cuts.left).flatten(0, 1).to(query.device)
        on_cpu = query.device.type == "cpu"
        rows = len(self._left)
        size = min((_PRODUCTS_ON_CPU if on_cpu else _PRODUCTS_ELSEWHERE) // rows, _MAX_NUMBERS // taps)
        self._size = max(min(size, _MAX_KERNELS) if on_cpu else size, _MIN_KERNELS)
        self._products = torch.empty(rows * self._size, device=query.device)
        self._squares = torch.empty(self._size, taps, device=query.device)
        self._ones = torch.ones(taps, 1, device=query.device)

    def pairs(self, kernels: NDArray[np.float32], nearest: NearestSoFar) -> Iterator[Pairs]:
        """Yield the pairs that pass; see `Screen`."""
        # By way of Arrow, since torch warns of memory that must not be written to.
        flat = pa.Array.from_buffers(pa.float32(), kernels.size, [None, pa.py_buffer(kernels)])
        parts = torch.split(to_flat_tensor(flat).view(kernels.shape), self._size)
        cut = self._cut(nearest)
        found: list[Pairs] = []
        count = start = 0
        for part in parts:
            with _full_precision(self._query.device):
                scores = self._scores(part.to(self._query.device))
            rows = (scores.amax(1) >= cut).nonzero()[:, 0]
            if len(rows):
                row, column = (scores[rows] >= cut[rows, None]).nonzero(as_tuple=True)
                found.append(Pairs(rows[row].cpu().numpy(), column.cpu().numpy() + start))
                count += len(row)
                if count > MAX_PAIRS:
                    yield Pairs.joined(found)
                    found, count, cut = [], 0, self._cut(nearest)
            start += len(part)
        if count:
            yield Pairs.joined(found)

    def _cut(self, nearest: NearestSoFar) -> torch.Tensor:
        return torch.from_numpy(self._cuts(nearest.threshold)).to(self._query.device)

    def _scores(self, kernels: torch.Tensor) -> torch.Tensor:
        """Return what has to reach the cut, `[n, m]`; -inf for kernels that are no neighbors of any."""
        at_norm_one = self._query.similarity.at_norm_one
        # Half the time of `vecdot`, which is slow along short axes.
        squares = (torch.mul(kernels, kernels, out=self._squares[: len(kernels)]) @ self._ones).squeeze(1)
        smallest, largest = squares.aminmax()
        usual = bool((largest < LARGE) & ((smallest > SMALL) | (not at_norm_one)))
        unusual = None if usual else _Unusual(kernels, squares, at_norm_one=at_norm_one)
        products = self._products[: len(self._left) * len(kernels)].view(len(self._left), -1)
        torch.mm(self._left, (kernels if unusual is None else unusual.kernels).T, out=products)
        products = products.abs_() if self._query.similarity.up_to_sign else products
        products = products.view(self._n_images, self._n, -1)
        scores = products.amax(0) if self._n_images > 1 else products[0]
        if at_norm_one:
            scores.mul_(squares.rsqrt_())
        else:
            scores.sub_(squares.mul_((1 - 3 * self._cuts.error) / 2))
        if unusual is not None:
            scores[:, unusual.passing] = torch.inf
            scores[:, unusual.failing] = -torch.inf
        return scores


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Compute products in float32, on which the bound on their error rests, whatever the caller has set."""
    backend: Any = {"cuda": torch.backends.cuda, "cpu": torch.backends.mkldnn}.get(device.type)
    products: Any = getattr(backend, "matmul", None)
    # Before torch 2.9 there is TF32 alone.
    name, full = ("fp32_precision", "ieee") if hasattr(products, "fp32_precision") else ("allow_tf32", False)
    before = getattr(products, name, None)
    with torch.autocast(device.type, enabled=False):
        if before in (None, full, "none"):
            yield
            return
        setattr(products, name, full)
        try:
            yield
        finally:
            setattr(products, name, before)


class _Unusual:
    """Kernels whose squares float32 does not hold, among others.

    Attributes:
        kernels: All kernels, those at another scale where the scale does not count, or else zeros.
        passing: Which pass whatever the query is.
        failing: Which are no neighbors of any.
    """

    def __init__(self, kernels: torch.Tensor, squares: torch.Tensor, *, at_norm_one: bool) -> None:
        """Scale kernels and change `squares` with them."""
        usual = (squares < LARGE) & ((squares > SMALL) | (not at_norm_one))
        rows = (~usual).nonzero()[:, 0]
        found = kernels[rows]
        scaled = found / found.abs().amax(1, keepdim=True)
        usable = torch.isfinite(found).all(1) & ((found != 0).any(1) | (not at_norm_one))
        self.passing, self.failing = rows[usable & (not at_norm_one)], rows[~usable]
        self.kernels = kernels.clone()
        self.kernels[rows] = torch.where(usable[:, None] & at_norm_one, scaled, 0)
        squares[rows] = torch.where(usable & at_norm_one, (scaled * scaled).sum(1), 1)
