"""Match the filters of two networks whose channels may be permuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from filtercrawl_analysis.statistics.lineage.layer_pair import Array, Weights

Order = NDArray[np.int64]

# The assignment takes time of the cube of the filters.
MAX_FILTERS: Final = 4096
# A permutation of inputs counts if it lowers the distance to this share: some permutation always lowers it a little.
_MAX_SHARE: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class FilterMatch:
    """The assignment of the filters of `b` to those of `a` with the smallest sum of squared differences.

    Attributes:
        order: For each filter of a the filter of b, int64 [out].
        distance: Norm of a - b after the permutation.
        relative_change: The distance over the norm of a; None if a is zero.
        inputs: `carried` if the input channels of b were permuted as the outputs of another layer, else `as stored`.
    """

    order: Order
    distance: float
    relative_change: float | None
    inputs: Literal["as stored", "carried"] = "as stored"

    @property
    def moved(self) -> int:
        """Number of filters that are not at their own place."""
        return int((self.order != np.arange(len(self.order))).sum())


def can_match(a: Weights, b: Weights) -> bool:
    """Tell whether filters can be matched: at most 4,096 of them, all finite."""
    return len(a) <= MAX_FILTERS and bool(np.isfinite(a).all() and np.isfinite(b).all())


def match_filters(a: Weights, b: Weights, inputs: Sequence[Order] = ()) -> FilterMatch:
    """Match the filters of two layers, with the Hungarian algorithm.

    Args:
        a: float32 `[out, in/groups, *kernel_size]`, see `can_match`.
        b: The same shape.
        inputs: Permutations of input channels that are tried besides their order as stored: those that
            `order_of_outputs` finds for the other layers of the network. No graph is needed, but a permutation that no
            layer shows, as that after a concatenation, is not found.
    """
    stored = _assign(a, b)
    return carry_inputs(a, b, stored, order_of_outputs(a, b), inputs) if inputs else stored


def carry_inputs(a: Weights, b: Weights, stored: FilterMatch, outputs: Order, inputs: Sequence[Order]) -> FilterMatch:
    """Return the match with the order of input channels that another layer shows, if it is closer; else `stored`.

    Args:
        a: float32 `[out, in/groups, *kernel_size]`.
        b: The same shape.
        stored: The match with inputs as stored.
        outputs: What `order_of_outputs` returns for the two.
        inputs: The permutations of input channels to try.
    """
    distances = [float(np.linalg.norm(a - b[outputs][:, order])) for order in inputs]
    if not min(distances, default=np.inf) < stored.distance:
        return stored
    carried = _assign(a, b[:, inputs[int(np.argmin(distances))]])
    if carried.distance > _MAX_SHARE * stored.distance:
        return stored
    return FilterMatch(
        order=carried.order, distance=carried.distance, relative_change=carried.relative_change, inputs="carried"
    )


def order_of_outputs(a: Weights, b: Weights) -> Order:
    """Return for each filter of a that of b, whatever the order of the input channels of b.

    Filters are compared by their values at each tap, sorted over the input channels.
    """
    return _best_order(np.sort(_flat(a), axis=1), np.sort(_flat(b), axis=1))


def change_of_sorted(a: Weights, b: Weights) -> float | None:
    """Return the relative change after the order of filters, input channels and taps is undone; None if a is zero.

    Filters are compared by their sorted values: transposed kernels and swapped colors are other orders, too.
    """
    first, second = (np.sort(_flat(weight).reshape(len(weight), -1), axis=1) for weight in (a, b))
    norm = float(np.linalg.norm(first))
    return float(np.linalg.norm(first - second[_best_order(first, second)])) / norm if norm else None


def _assign(a: Weights, b: Weights) -> FilterMatch:
    order = _best_order(_flat(a), _flat(b))
    # By the differences themselves: equal filters are at a distance of exactly zero.
    own, other = (float(np.linalg.norm(_flat(a) - _flat(b[choice]))) for choice in (np.arange(len(a)), order))
    if own <= other:
        order, other = np.arange(len(a), dtype=np.int64), own
    norm = float(np.linalg.norm(_flat(a)))
    return FilterMatch(order=order, distance=other, relative_change=other / norm if norm else None)


def _best_order(a: Array, b: Array) -> Order:
    """Return the permutation of the rows of b that is closest to a."""
    from scipy.optimize import linear_sum_assignment

    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    _, order = linear_sum_assignment((b**2).sum(1) - 2 * a @ b.T)
    return np.asarray(order, np.int64)


def _flat(weight: Weights) -> Array:
    """Return `[out, in, taps]` in float64."""
    return weight.reshape(*weight.shape[:2], -1).astype(np.float64)
