"""The convolutions of a network in execution order, and how they depend on each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from filtercrawl.api.tensor import Depth


class DepthState(NamedTuple):
    """What a value depends on.

    Attributes:
        ancestors: Bit mask of the convolutions it depends on.
        length: Number of convolutions on the longest path to it.
    """

    ancestors: int = 0
    length: int = 0

    def join(self, other: DepthState) -> DepthState:
        """Return the state of a value computed from both."""
        return DepthState(self.ancestors | other.ancestors, max(self.length, other.length))


@dataclass(frozen=True)
class Depths:
    """Depths of all calls of a network."""

    before: tuple[DepthState, ...]
    counted: bool

    def of(self, first: int, last: int) -> Depth:
        """Return the depth of a convolution, given the indices of its first and last calls."""
        trail = self.before[first]
        return Depth(
            conv_depth=trail.length,
            conv_depth_norm=trail.length / deepest if (deepest := self.deepest) else 0.0,
            n_conv_ancestors=trail.ancestors.bit_count() if self.counted else None,
            is_first=trail.length == 0,
            is_last=not self.followed >> last & 1 if self.counted else None,
        )

    @cached_property
    def deepest(self) -> int:
        return max((trail.length for trail in self.before), default=0)

    @cached_property
    def followed(self) -> int:
        """Bit mask of the calls that another call depends on."""
        followed = 0
        for trail in self.before:
            followed |= trail.ancestors
        return followed


class CallGraph:
    """Collects convolution calls while a network runs.

    Args:
        counted: Whether ancestors are recorded, or only path lengths.
    """

    def __init__(self, *, counted: bool = True) -> None:
        self._counted = counted
        self._before: list[DepthState] = []

    def add(self, trail: DepthState) -> DepthState:
        """Record a call on a value with this state, and return the state of its result."""
        bit = 1 << len(self._before) if self._counted else 0
        self._before.append(trail)
        return DepthState(trail.ancestors | bit, trail.length + 1)

    def __len__(self) -> int:
        return len(self._before)

    def finish(self) -> Depths:
        return Depths(tuple(self._before), self._counted)
