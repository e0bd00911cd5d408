"""Choose the layers whose kernels the dataset card shows: the same ones in whatever order they come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from filtercrawl.dataset.schema.layer_row import IndexRow

# Layers in the picture, and how many of them are first layers where there are enough of both.
LAYERS: Final = 8
FIRST_LAYERS: Final = 4
# Kernels of a layer in the picture; layers with fewer come after all others.
KERNELS: Final = 15
# Taps of a kernel along the longer side of its tile, at most.
TILE_TAPS: Final = 36

_FIRST_LAYER_SIDES: Final = range(3, 12)
_MAX_SPARSITY: Final = 0.5
# Groups that a tier keeps: more than the picture has layers, since layers of the same bytes are shown once.
_KEPT: Final = 3 * LAYERS

_Key = tuple[int, bytes]


class PictureChoice:
    """Keeps candidates for the picture among the layers that it is offered.

    A candidate is stored, learned, of a final checkpoint, finite and at most half dead. There are three tiers: first
    layers from 3x3 to 11x11, larger kernels first; 3x3 layers; other sizes, and layers with few kernels. Within a tier
    the order is that of the SHA-256 of `layer_id`. Of a family (else architecture, else checkpoint) only the first is
    taken until there are no more families, then the first of a checkpoint, then any.
    """

    def __init__(self) -> None:
        # By level (family, checkpoint, layer), then by tier.
        self._best = [[_BestOfGroups() for _ in range(3)] for _ in range(3)]

    def offer(self, row: IndexRow) -> None:
        """Consider a row of `index`."""
        if not _is_candidate(row):
            return
        tier = _tier(row)
        key = (-row.taps if tier == 0 else 0, hashlib.sha256(row.layer_id.encode()).digest())
        for level, group in enumerate((_family(row), row.model_id, row.layer_id)):
            self._best[level][tier].offer(group, key, row)

    def candidates(self) -> Iterator[IndexRow]:
        """Yield layers of distinct weights in the order in which they are taken."""
        weights: set[str | None] = set()
        families: set[str] = set()
        for level, row in self._by_preference():
            family = _family(row)
            if row.layer_sha256 not in weights and not (level == 0 and family in families):
                weights.add(row.layer_sha256)
                families.add(family)
                yield row

    def _by_preference(self) -> Iterator[tuple[int, IndexRow]]:
        first, *others = (best.rows() for best in self._best[0])
        for rows in (first[:FIRST_LAYERS], others[0], first[FIRST_LAYERS:], others[1]):
            yield from ((0, row) for row in rows)
        for level in (1, 2):
            yield from ((level, row) for best in self._best[level] for row in best.rows())


class _BestOfGroups:
    """Keeps the row with the smallest key of each group, for the groups whose smallest keys are smallest."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[_Key, IndexRow]] = {}

    def offer(self, group: str, key: _Key, row: IndexRow) -> None:
        if group in self._rows and self._rows[group][0] <= key:
            return
        self._rows[group] = (key, row)
        if len(self._rows) > _KEPT:
            # Exact: a group that goes has `_KEPT` groups before it, and these only get smaller keys.
            del self._rows[max(self._rows, key=lambda name: self._rows[name][0])]

    def rows(self) -> list[IndexRow]:
        return [row for _, row in sorted(self._rows.values(), key=lambda entry: entry[0])]


def order_in_picture(row: IndexRow) -> tuple[int, int]:
    """Return the key by which chosen layers are sorted: first layers, then 3x3, then the rest; larger kernels first."""
    return _tier(row), -row.taps


def _is_candidate(row: IndexRow) -> bool:
    return (
        row.stored
        and row.taps > 1
        and row.weight_kind == "learned"
        and row.run_final is not False
        and not row.n_nonfinite
        and (row.sparsity is None or row.sparsity <= _MAX_SPARSITY)
        and max(_tile_shape(row.kernel_size)) <= TILE_TAPS
    )


def _tier(row: IndexRow) -> int:
    if row.n_kernels < KERNELS or len(row.kernel_size) != 2:
        return 2
    if row.is_first and not row.is_patchify and all(side in _FIRST_LAYER_SIDES for side in row.kernel_size):
        return 0
    return 1 if tuple(row.kernel_size) == (3, 3) else 2


def _tile_shape(kernel_size: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width in taps: slices of a 3-D kernel lie side by side, with a line between them."""
    if len(kernel_size) == 3:
        depth, height, width = kernel_size
        return height, depth * (width + 1) - 1
    height, width = (1, *kernel_size)[-2:]
    return height, width


def _family(row: IndexRow) -> str:
    return row.family or row.architecture or row.model_id
