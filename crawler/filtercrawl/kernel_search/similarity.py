"""What makes two kernels similar: a metric, and the changes of a kernel that do not count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from filtercrawl.api.errors import UsageError

Metric = Literal["cosine", "l2"]
Invariance = Literal["scale", "sign", "rotation", "flip"]


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """How the similarity of two kernels is measured.

    Attributes:
        metric: `cosine` of the angle between the kernels as vectors, or `l2`, their Euclidean distance.
        invariant: Changes of either kernel that do not count: its `scale` (a positive factor; kernels are compared at
            norm 1), its `sign`, its `rotation` by quarter turns (half turns where the two sides differ), and a `flip`
            of one axis. With several, the best of all combinations counts.
    """

    metric: Metric = "cosine"
    invariant: tuple[Invariance, ...] = ()

    def __post_init__(self) -> None:
        if self.metric not in get_args(Metric):
            raise UsageError(f"no metric is named {self.metric!r}; there are {', '.join(get_args(Metric))}")
        if unknown := [name for name in self.invariant if name not in get_args(Invariance)]:
            known = ", ".join(get_args(Invariance))
            raise UsageError(f"kernels are not compared up to {', '.join(unknown)}; there are {known}")

    @property
    def at_norm_one(self) -> bool:
        """Whether kernels are compared at norm 1, so that kernels of zeros have no similarity."""
        return self.metric == "cosine" or "scale" in self.invariant

    @property
    def up_to_sign(self) -> bool:
        """Whether a kernel and its negative are the same."""
        return "sign" in self.invariant

    def images(self, kernels: torch.Tensor) -> torch.Tensor:
        """Return what rotations and flips make of kernels, those themselves first.

        Args:
            kernels: `[n, *kernel_size]` with one to three axes of space.

        Returns:
            `[images, n, *kernel_size]`, each different symmetry once.
        """
        symmetries = _symmetries(tuple(kernels.shape[1:]), self.invariant)
        return torch.stack([symmetry.apply(kernels) for symmetry in symmetries])

    def names(self, kernel_size: tuple[int, ...]) -> tuple[str, ...]:
        """Return the names of the images of kernels of a size, in the order of `images`."""
        return tuple(symmetry.name for symmetry in _symmetries(kernel_size, self.invariant))


@dataclass(frozen=True, kw_only=True)
class _Symmetry:
    """A symmetry of a grid: a flip of the last axis, then quarter turns in the plane of the last two.

    Attributes:
        flipped: Whether the last axis is flipped.
        turns: Quarter turns, 0 to 3.
    """

    flipped: bool
    turns: int

    @property
    def name(self) -> str:
        parts = [*(["flipped"] if self.flipped else []), *([f"turned {90 * self.turns}"] if self.turns else [])]
        return ", ".join(parts) or "as it is"

    def apply(self, kernels: torch.Tensor) -> torch.Tensor:
        flipped = kernels.flip(-1) if self.flipped else kernels
        return flipped.rot90(self.turns, (-2, -1)) if self.turns else flipped


def _symmetries(size: tuple[int, ...], invariant: tuple[Invariance, ...]) -> Iterator[_Symmetry]:
    turns: tuple[int, ...] = (0,)
    if len(size) > 1 and "rotation" in invariant:
        turns = (0, 1, 2, 3) if size[-1] == size[-2] else (0, 2)
    for flipped in (False, True) if "flip" in invariant else (False,):
        for turn in turns:
            yield _Symmetry(flipped=flipped, turns=turn)
    # Without rotations: a flip of the other axis, and of both, which is half a turn.
    if len(size) > 1 and "flip" in invariant and "rotation" not in invariant:
        yield _Symmetry(flipped=True, turns=2)
        yield _Symmetry(flipped=False, turns=2)
