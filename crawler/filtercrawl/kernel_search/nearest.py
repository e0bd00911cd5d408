"""The nearest of a stream of kernels, exactly: float32 products choose candidates, float64 decides between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from filtercrawl.kernel_search.similarity import Similarity

# Pairs of a query and a kernel that are measured in float64 at a time.
MAX_PAIRS: Final = 1 << 18
# Squared norms that float32 holds with its full precision; other kernels are measured in float64.
_SMALL: Final = 1e-30
_LARGE: Final = 1e30
_UNIT_ROUNDOFF: Final = float(np.finfo(np.float32).eps) / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """Kernels whose neighbors are sought.

    Attributes:
        kernels: float32 `[n, *kernel_size]`, finite.
        similarity: How neighbors are measured.
        k: Neighbors of each.
        device: Where candidates are chosen.
    """

    kernels: torch.Tensor
    similarity: Similarity
    k: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Size of the kernels."""
        return tuple(self.kernels.shape[1:])

    @property
    def taps(self) -> int:
        """Numbers of a kernel."""
        return self.kernels[0].numel()


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbors:
    """Pairs of a query and a kernel.

    Attributes:
        query: The query [pairs].
        number: Number of the kernel [pairs].
        score: The cosine, or the negative of the squared distance [pairs].
        image: Place of the nearest image of the query in `Similarity.images`; -1 minus that place where the sign is the
            other one [pairs].
        kernel: The kernel, float32 [pairs, taps].
    """

    query: NDArray[np.int64]
    number: NDArray[np.int64]
    score: NDArray[np.float64]
    image: NDArray[np.int64]
    kernel: NDArray[np.float32]

    @classmethod
    def none(cls, taps: int) -> Self:
        """Return no pairs."""
        empty = np.array([], np.int64)
        score, kernel = np.array([], np.float64), np.empty((0, taps), np.float32)
        return cls(query=empty, number=empty, image=empty, score=score, kernel=kernel)

    def joined(self, other: Neighbors) -> Neighbors:
        """Return these pairs and others."""
        return Neighbors(**{name: np.concatenate([own, getattr(other, name)]) for name, own in vars(self).items()})

    def take(self, which: NDArray[np.int64]) -> Neighbors:
        """Return the pairs at these places."""
        return Neighbors(**{name: own[which] for name, own in vars(self).items()})


class Candidates:
    """The best kernels so far for each query.

    A kernel of a stream is a candidate if its similarity in float32, raised by a bound on the rounding error, reaches
    that of the k-th best kernel so far; of candidates the similarity is computed again in float64. So the result is
    that of float64 alone. Of equally similar kernels the one of the lowest number is nearer.
    """

    def __init__(self, query: Query) -> None:
        """Begin without kernels."""
        self._query = query
        images = query.similarity.images(query.kernels).flatten(2)
        self._exact: torch.Tensor = images.double()  # [images, n, taps]
        if query.similarity.at_norm_one:
            self._exact = self._exact / self._exact.norm(dim=-1, keepdim=True)
        self._n_images, self._n = images.shape[:2]
        self._left = self._exact.float().reshape(-1, query.taps).to(query.device)
        self._squares = (self._exact[0] ** 2).sum(-1)
        self._ones = torch.ones(query.taps, 1, device=query.device)
        self._best = _Best(self._n, query.k, query.taps)

    def add(self, kernels: torch.Tensor, numbers: NDArray[np.int64]) -> None:
        """Receive the next kernels of the stream.

        Kernels that are not finite are no neighbors, nor are kernels of zeros where they are compared at norm 1.

        Args:
            kernels: float32 `[m, taps]` on the CPU or the device of the query.
            numbers: Their numbers, `[m]`.
        """
        bounds = self._upper_bounds(kernels.to(self._query.device))
        if self._best.count < self._query.k:  # nothing to compare with yet: the best of these
            k = min(self._query.k, len(kernels))
            nearest = bounds.topk(k, dim=1).indices.cpu()
            self._measure(torch.arange(self._n).repeat_interleave(k), nearest.flatten(), kernels, numbers)
        threshold = torch.nextafter(self._best.threshold.float(), torch.tensor(-torch.inf))
        queries, columns = (bounds >= threshold.to(bounds.device)[:, None]).nonzero(as_tuple=True)
        self._measure(queries.cpu(), columns.cpu(), kernels, numbers)

    def result(self) -> Neighbors:
        """Return the neighbors, those of a query together and the nearest first."""
        return self._best.kept

    def _upper_bounds(self, kernels: torch.Tensor) -> torch.Tensor:
        """Return upper bounds of the scores `[n, m]`; -inf for kernels that are no neighbors of any."""
        similarity = self._query.similarity
        products = self._left @ kernels.T
        products = products.abs_() if similarity.up_to_sign else products
        products = products.view(self._n_images, self._n, -1)
        products = products.amax(0) if self._n_images > 1 else products[0]
        # Half the time of `vecdot`, which is slow along short axes.
        squares = ((kernels * kernels) @ self._ones).squeeze(1)
        # A sum of `taps` products is off by at most `taps` roundoffs of the product of the norms, in whatever order.
        error = (self._query.taps + 8) * _UNIT_ROUNDOFF
        if similarity.at_norm_one:
            bounds = products.mul_(squares.rsqrt()).add_(2 * error)
            bounds = bounds if similarity.metric == "cosine" else bounds.mul_(2).sub_(2)
            measurable = (squares > _SMALL) & (squares < _LARGE)
        else:
            own = self._squares.to(squares.device, torch.float32)
            bounds = (
                products.mul_(2).sub_(squares * (1 - 3 * error)).sub_((own * (1 - 3 * error))[:, None]).add_(_SMALL)
            )
            measurable = squares < _LARGE
        if not bool(measurable.all()):
            others = kernels[~measurable]
            usable = torch.isfinite(others).all(1) & ((others != 0).any(1) | (not similarity.at_norm_one))
            bounds[:, ~measurable] = torch.where(usable, torch.inf, -torch.inf)
        return bounds

    def _measure(
        self, queries: torch.Tensor, columns: torch.Tensor, kernels: torch.Tensor, numbers: NDArray[np.int64]
    ) -> None:
        """Compute the scores of candidates in float64 and keep the best."""
        for start in range(0, len(queries), MAX_PAIRS):
            query, column = queries[start : start + MAX_PAIRS], columns[start : start + MAX_PAIRS]
            chosen = kernels[column.to(kernels.device)].cpu()
            scores, images = self._scores(query, chosen.double())
            pairs = Neighbors(
                query=query.numpy(),
                number=numbers[column.numpy()],
                score=scores.numpy(),
                image=images.numpy(),
                kernel=chosen.numpy(),
            )
            self._best.add(pairs.take(np.flatnonzero(np.isfinite(pairs.score))))

    def _scores(self, query: torch.Tensor, kernels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores, larger for nearer kernels, and images, of pairs of a query and a kernel `[pairs, taps]`."""
        similarity = self._query.similarity
        if similarity.at_norm_one:
            kernels = kernels / kernels.norm(dim=-1, keepdim=True)
        left = self._exact[:, query]  # [images, pairs, taps]
        if similarity.metric == "cosine":
            signed = (left * kernels).sum(-1)
            negated = -signed
        else:
            signed, negated = (-((left - sign * kernels) ** 2).sum(-1) for sign in (1, -1))
        scores, images = (torch.cat([signed, negated]) if similarity.up_to_sign else signed).max(0)
        return scores, torch.where(images < self._n_images, images, self._n_images - 1 - images)


class _Best:
    """The k best kernels of each query, pruned whenever more have come."""

    def __init__(self, n: int, k: int, taps: int) -> None:
        self._n, self._k = n, k
        self.kept = Neighbors.none(taps)
        self.count = 0  # neighbors that every query has
        self.threshold = torch.full((n,), -torch.inf, dtype=torch.float64)

    def add(self, more: Neighbors) -> None:
        every = self.kept.joined(more)
        order = np.lexsort((every.number, -every.score, every.query))
        # A pair that was measured twice has the same score, and so lies beside itself.
        query, number = every.query[order], every.number[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (query[1:] != query[:-1]) | (number[1:] != number[:-1])
        order, query = order[first], query[first]
        self.kept = every.take(order[np.arange(len(query)) - np.searchsorted(query, query) < self._k])
        found = np.bincount(self.kept.query, minlength=self._n)
        self.count = int(found.min())
        full = found == self._k
        last = (np.cumsum(found) - 1)[full]
        self.threshold[torch.from_numpy(full)] = torch.from_numpy(self.kept.score[last])
