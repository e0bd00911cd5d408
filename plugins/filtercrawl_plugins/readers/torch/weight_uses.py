"""How the code of a saved module uses tensors as weights of convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from filtercrawl.api.convolution import Convolution, Op


@dataclass(frozen=True, kw_only=True)
class WeightUses:
    """How code uses tensors as weights of convolutions.

    Attributes:
        settings: Settings of the convolution whose weight a tensor is, by its name: an attribute of the module
            (`weight`), or a constant (`CONSTANTS.c0`). Calls that disagree are left out.
        computed_from: Attributes that the weight of a convolution is computed from.
        not_convolved: Attributes that the code reads, and never convolves with.
        unproven: Attributes that the code reads, and is not seen to convolve with.
    """

    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    computed_from: frozenset[str] = frozenset()
    not_convolved: frozenset[str] = frozenset()
    unproven: frozenset[str] = frozenset()

    def may_convolve(self, name: str) -> bool:
        """Return whether an attribute may be the weight of a convolution."""
        return name not in self.not_convolved

    def convolution(self, name: str, rank: int, *, learned: bool | None) -> Convolution | None:
        """Return the convolution whose weight a tensor is, None if that is not proven.

        Args:
            name: A key of `settings`.
            rank: Number of spatial axes of the tensor.
            learned: Whether training changes it, if that is known.
        """
        settings = self.settings.get(name, {})
        groups, transposed = settings.get("groups"), settings.get("transposed")
        if not 1 <= rank <= 3 or settings.get("rank") not in (None, rank):
            return None
        if type(groups) is not int or not 1 <= groups < 1 << 31 or type(transposed) is not bool:
            return None
        padding = settings.get("padding")
        return Convolution(
            op=cast("Op", f"conv_transpose{rank}d" if transposed else f"conv{rank}d"),
            groups=groups,
            stride=_sizes(settings.get("stride"), rank),
            padding=(0,) * rank if padding == "valid" else _sizes(padding, rank),
            dilation=_sizes(settings.get("dilation"), rank),
            learned=learned,
            source="module",
        )


def _sizes(value: object, rank: int) -> tuple[int, ...] | None:
    """Return a setting as one number per spatial axis; one number stands for all."""
    sizes = value if isinstance(value, tuple) else (value,)
    sizes = sizes * rank if len(sizes) == 1 else sizes
    valid = all(type(size) is int and 0 <= size < 1 << 31 for size in sizes)
    return cast("tuple[int, ...]", sizes) if valid and len(sizes) == rank else None
