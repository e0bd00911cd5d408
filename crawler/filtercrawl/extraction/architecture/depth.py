"""The convolutions of a network in the order they run, and which depend on which."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from filtercrawl.api.tensor import Depth


class DepthState(NamedTuple):
    """What a value depends on. ancestors: a bit for each convolution; length: of the longest path through them."""

    ancestors: int = 0
    length: int = 0

    def join(self, other: DepthState) -> DepthState:
        """Return the trail of a value that is made of both."""
        return DepthState(self.ancestors | other.ancestors, max(self.length, other.length))


@dataclass(frozen=True)
class Depths:
    """The finished account: where each call stands."""

    before: tuple[DepthState, ...]
    counted: bool

    def of(self, first: int, last: int) -> Depth:
        """Return where the convolution stands whose first and last calls are these."""
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
        """A bit for each call that another one depends on."""
        followed = 0
        for trail in self.before:
            followed |= trail.ancestors
        return followed


class CallGraph:
    """Collects calls while a network runs. counted: whether ancestors are told apart, or only the paths measured."""

    def __init__(self, *, counted: bool = True) -> None:
        self._counted = counted
        self._before: list[DepthState] = []

    def add(self, trail: DepthState) -> DepthState:
        """Record a call on a value of this trail; return the trail of its result."""
        bit = 1 << len(self._before) if self._counted else 0
        self._before.append(trail)
        return DepthState(trail.ancestors | bit, trail.length + 1)

    def __len__(self) -> int:
        return len(self._before)

    def finish(self) -> Depths:
        return Depths(tuple(self._before), self._counted)
