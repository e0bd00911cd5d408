"""The convolutions of a network in execution order, and how they depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from filtercrawl.api.convolution import Depth, Place
from filtercrawl.extraction.architecture.place import CallShape, Places


class DepthState(NamedTuple):
    """What a value depends on.

    Attributes:
        ancestors: Bit mask of the convolutions it depends on.
        length: Number of convolutions on the longest path to it.
        latest: Bit mask of the convolutions from which a path without a convolution or a matrix product leads to it.
    """

    ancestors: int = 0
    length: int = 0
    latest: int = 0

    def join(self, other: DepthState) -> DepthState:
        """Return the state of a value computed from both."""
        return DepthState(self.ancestors | other.ancestors, max(self.length, other.length), self.latest | other.latest)

    def multiplied(self) -> DepthState:
        """Return the state of a matrix product of a value."""
        return self._replace(latest=0)


@dataclass(frozen=True)
class Depths:
    """Depths of all calls of a network.

    Attributes:
        before: State of the input of each call.
        counted: Whether ancestors are recorded, or only path lengths.
        shapes: Shape of each call; None where a shape is not known.
        before_attention: Number of calls before the first attention; None where there is none.
    """

    before: tuple[DepthState, ...]
    counted: bool
    shapes: tuple[CallShape, ...] | None = None
    before_attention: int | None = None

    def of(self, calls: Sequence[int]) -> Depth:
        """Return the depth of a convolution, given the indices of its calls in the order of execution."""
        trail = self.before[calls[0]]
        return Depth(
            conv_depth=trail.length,
            conv_depth_norm=trail.length / deepest if (deepest := self.deepest) else 0.0,
            n_conv_ancestors=trail.ancestors.bit_count() if self.counted else None,
            is_first=trail.length == 0,
            is_last=not self.followed >> calls[-1] & 1 if self.counted else None,
            place=self._place(tuple(calls)),
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

    @cached_property
    def places(self) -> Places | None:
        """The places of all calls; None where the shape of a call or what it depends on is not known."""
        if self.shapes is None or not self.counted:
            return None
        return Places(
            ancestors=[trail.ancestors for trail in self.before],
            latest=[trail.latest for trail in self.before],
            shapes=self.shapes,
            before_attention=self.before_attention,
        )

    def _place(self, calls: tuple[int, ...]) -> Place | None:
        return None if self.places is None else self.places.of(calls)


class CallGraph:
    """Collects convolution calls while a network runs.

    Args:
        counted: Whether ancestors are recorded, or only path lengths.
    """

    def __init__(self, *, counted: bool = True) -> None:
        self._counted = counted
        self._before: list[DepthState] = []
        self._shapes: list[CallShape | None] = []
        self._before_attention: int | None = None

    def add(self, trail: DepthState, shape: CallShape | None = None) -> DepthState:
        """Record a call on a value with this state, and return the state of its result."""
        bit = 1 << len(self._before) if self._counted else 0
        self._before.append(trail)
        self._shapes.append(shape)
        return DepthState(trail.ancestors | bit, trail.length + 1, bit)

    def attend(self) -> None:
        """Record a product of two matrices that are computed from the input."""
        if self._before_attention is None:
            self._before_attention = len(self)

    def __len__(self) -> int:
        return len(self._before)

    def finish(self) -> Depths:
        known = [shape for shape in self._shapes if shape is not None]
        shapes = tuple(known) if len(known) == len(self._shapes) else None
        return Depths(tuple(self._before), self._counted, shapes, self._before_attention)
