"""Which layers of two checkpoints correspond: by name, else by shape and order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

MatchedBy = Literal["name", "shape and order"]


class NamedLayer(Protocol):
    """What a layer is matched by."""

    @property
    def tensor(self) -> str:
        """Name of the tensor, with its index in a bank."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight, `[out, in/groups, *kernel_size]`."""
        ...


@dataclass(frozen=True, kw_only=True)
class LayerMatches:
    """Corresponding layers, as positions in the two checkpoints.

    Attributes:
        pairs: Positions in a and b, and what they were matched by, in the order of a.
        only_a: Positions of layers that only a has.
        only_b: Positions of layers that only b has.
    """

    pairs: tuple[tuple[int, int, MatchedBy], ...]
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]


def match_layers(a: Sequence[NamedLayer], b: Sequence[NamedLayer]) -> LayerMatches:
    """Match the layers of two checkpoints.

    Layers of one name and shape correspond. Of the others, the k-th of a shape in a corresponds to the k-th of that
    shape in b, provided that both have as many of it.

    Args:
        a: Layers in the order of the file.
        b: Layers of the other checkpoint.
    """
    by_name = {layer.tensor: position for position, layer in enumerate(b)}
    pairs: list[tuple[int, int, MatchedBy]] = []
    for i, layer in enumerate(a):
        j = by_name.get(layer.tensor)
        if j is not None and b[j].shape == layer.shape:
            pairs.append((i, j, "name"))
    left, right = _by_shape(a, {i for i, _, _ in pairs}), _by_shape(b, {j for _, j, _ in pairs})
    for shape, positions in left.items():
        if len(positions) == len(right.get(shape, ())):
            pairs += [(i, j, "shape and order") for i, j in zip(positions, right[shape], strict=True)]
    used_a, used_b = {i for i, _, _ in pairs}, {j for _, j, _ in pairs}
    return LayerMatches(
        pairs=tuple(sorted(pairs)),
        only_a=tuple(i for i in range(len(a)) if i not in used_a),
        only_b=tuple(j for j in range(len(b)) if j not in used_b),
    )


def _by_shape(layers: Sequence[NamedLayer], used: set[int]) -> dict[tuple[int, ...], list[int]]:
    positions: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for position, layer in enumerate(layers):
        if position not in used:
            positions[tuple(layer.shape)].append(position)
    return positions
