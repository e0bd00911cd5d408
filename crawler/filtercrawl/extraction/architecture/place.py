"""The parts that convolutions have in their network: stem, last spatial ones, separable pairs, downsampling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from filtercrawl.api.convolution import Place

# A stem ends at a map smaller than the input by this factor, as the first stage of a ResNet or ConvNeXt has it: plain
# networks, such as VGG, are one chain. Before attention a chain of convolutions goes on to the size of the patches.
_STEM_REDUCTION: Final = 4


@dataclass(frozen=True, kw_only=True)
class CallShape:
    """The shape of one call of a convolution.

    Attributes:
        taps: Spatial positions of its kernel.
        groups: Groups of the convolution.
        depthwise: Whether it has several groups of one input channel.
        covers: Whether the kernel covers the whole input, so that the output is one point; None where it is unknown.
        on_point: Whether it is 1x1 and its input is one point.
        reduction: Size of the input of the first call divided by that of its own input, along the axis where that is
            largest.
        of_input: Whether it convolves what is computed from the input of the network, and not constants, such as
            positions.
    """

    taps: int
    groups: int
    depthwise: bool
    covers: bool | None
    on_point: bool
    reduction: float
    of_input: bool = True


def size_reduction(first: Sequence[int], size: Sequence[int]) -> float:
    """Return how many times a map is smaller than the first one; infinite where they cannot be compared."""
    if len(first) != len(size) or 0 in size:
        return math.inf
    return max((a / b for a, b in zip(first, size, strict=True)), default=1.0)


@dataclass(frozen=True, kw_only=True)
class Places:
    """The places of all calls of a network, in the order of execution.

    Attributes:
        ancestors: Of each call, the bit mask of the calls that its input depends on.
        latest: Of each call, the bit mask of the calls that its input depends on with no other convolution and no
            matrix product between.
        shapes: Of each call, its shape.
        before_attention: Number of calls before the first attention, a product of two matrices that are computed from
            the input of the network; None where there is none.
    """

    ancestors: Sequence[int]
    latest: Sequence[int]
    shapes: Sequence[CallShape]
    before_attention: int | None

    def of(self, calls: tuple[int, ...]) -> Place:
        """Return the place of a convolution, given the indices of its calls; the last one tells what is last."""
        first, last = calls[0], calls[-1]
        return Place(
            calls=calls,
            is_stem=bool(self.stem >> first & 1),
            is_last_spatial=self._is_last_spatial(last),
            pointwise_follower=self.followers.get(first),
        )

    def _is_last_spatial(self, call: int) -> bool | None:
        """Return whether a call is a last spatial one; None where that depends on which kernels cover their input."""
        answers = {call in places.last_spatial for places in self._known}
        return answers.pop() if len(answers) == 1 else None

    @cached_property
    def _known(self) -> tuple[Places, ...]:
        """The places where all kernels that may cover their input do, and where none does."""
        if all(shape.covers is not None for shape in self.shapes):
            return (self,)
        return tuple(replace(self, shapes=self._shapes_if(covers=covers)) for covers in (False, True))

    def _shapes_if(self, *, covers: bool) -> list[CallShape]:
        """Return the shapes of all calls where each kernel that may cover its input does so, or does not."""
        shapes: list[CallShape] = []
        points = 0
        for call, (latest, shape) in enumerate(zip(self.latest, self.shapes, strict=True)):
            on_point = shape.on_point or (shape.taps == 1 and latest != 0 and not latest & ~points)
            shapes.append(replace(shape, covers=covers if shape.covers is None else shape.covers, on_point=on_point))
            if shapes[-1].covers or on_point:
                points |= 1 << call
        return shapes

    @cached_property
    def dense(self) -> frozenset[int]:
        """The calls that are fully connected layers: on the whole map, followed only by points."""
        spatial_after = 0
        for ancestors, shape in zip(self.ancestors, self.shapes, strict=True):
            if not shape.on_point:
                spatial_after |= ancestors
        found: set[int] = set()
        mask = 0
        for call, (ancestors, shape) in enumerate(zip(self.ancestors, self.shapes, strict=True)):
            behind = shape.on_point and shape.groups == 1 and ancestors & mask
            if ((shape.covers and ancestors) or behind) and not spatial_after >> call & 1:
                found.add(call)
                mask |= 1 << call
        return frozenset(found)

    @cached_property
    def before_spatial(self) -> int:
        """Bit mask of the calls that a spatial convolution depends on."""
        before = 0
        for call, ancestors in enumerate(self.ancestors):
            if self._spatial(call):
                before |= ancestors
        return before

    @cached_property
    def last_spatial(self) -> frozenset[int]:
        """The spatial calls that no spatial one depends on."""
        calls = range(len(self.shapes))
        return frozenset(call for call in calls if self._spatial(call) and not self.before_spatial >> call & 1)

    @cached_property
    def stem(self) -> int:
        """Bit mask of the calls of the stem."""
        once = branched = 0
        for latest, shape in zip(self.latest, self.shapes, strict=True):
            if not shape.on_point:  # what is computed from one point is a gate, and no branch
                branched |= once & latest
                once |= latest
        stem = 0
        for call, (ancestors, latest, shape) in enumerate(zip(self.ancestors, self.latest, self.shapes, strict=True)):
            follows = latest.bit_count() == 1 and latest & stem and not latest & branched
            limit = self.before_attention
            small = shape.reduction >= _STEM_REDUCTION if limit is None else call >= limit
            ends = shape.depthwise or shape.on_point or small
            if (not ancestors and shape.of_input) or (follows and not ends):
                stem |= 1 << call
        return stem

    @cached_property
    def followers(self) -> dict[int, int]:
        """The pointwise call that takes the output of a depthwise one, by the latter."""
        found: dict[int, int] = {}
        waiting = 0
        for call, (latest, shape) in enumerate(zip(self.latest, self.shapes, strict=True)):
            if shape.taps == 1 and not shape.on_point and not shape.depthwise:
                found.update(dict.fromkeys(_bits(latest & waiting), call))
                waiting &= ~latest
            elif shape.taps > 1 and shape.depthwise:
                waiting |= 1 << call
        return found

    def _spatial(self, call: int) -> bool:
        return self.shapes[call].taps > 1 and call not in self.dense


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
