"""Which checkpoints have their rows in which part of the tables: a pure function of their ids, versions and sizes.

What a version adds is in parts of its own, so that publishing it sends no row of an earlier one again. Within such a
generation the parts are the leaves of a trie over the bits of the SHA-256 of the model id: a part with too many rows is
two. One more checkpoint then changes the files of one part, however many there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from filtercrawl.dataset.schema.version_order import UNRELEASED, release_order

# Rows of `models` and `index` in a part, at most; a checkpoint with more has a part of its own.
PART_ROWS: Final = 4_000
# Bits of a place, and so the deepest leaf.
PLACE_BITS: Final = 48
# So many versions after the last time, all generations become one again: a reader opens a few files, not one a version.
_JOINED: Final = 32


class Size(NamedTuple):
    """What a part holds.

    Attributes:
        rows: Rows of `models` and `index`.
        checkpoints: Rows of `models`.
    """

    rows: int
    checkpoints: int


def place_of(model_id: str) -> int:
    """Return where a checkpoint is in the trie: the first `PLACE_BITS` bits of the SHA-256 of its id."""
    return int.from_bytes(hashlib.sha256(model_id.encode()).digest()[: PLACE_BITS // 8])


def place_range(bits: str) -> tuple[int, int]:
    """Return the first place below a node of the trie, and the first one behind it."""
    free = PLACE_BITS - len(bits)
    first = int(bits or "0", 2) << free
    return first, first + (1 << free)


def bits_of(place: int) -> str:
    """Return all bits of a place."""
    return f"{place:0{PLACE_BITS}b}"


def generations(releases: Iterable[str]) -> dict[str, str]:
    """Return the generation of each release; empty names are that of no version yet, and the first generation.

    Args:
        releases: The first releases of checkpoints.
    """
    versions = sorted({release for release in releases if release}, key=release_order)
    joined = (len(versions) - 1) // _JOINED * _JOINED + 1 if versions else 0
    found = {version: version if number >= joined else "" for number, version in enumerate(versions)}
    return {**found, "": UNRELEASED if versions else ""}


def leaves(measure: Callable[[str], Size], bits: str = "", limit: int = PART_ROWS) -> Iterator[tuple[str, Size]]:
    """Yield the bits and size of each part of a generation.

    Args:
        measure: Returns what is below a node of the trie.
        bits: The node to start from.
        limit: Rows of a part, at most.
    """
    size = measure(bits)
    if size.rows <= limit or size.checkpoints <= 1 or len(bits) == PLACE_BITS:
        yield bits, size
    else:
        for bit in "01":
            yield from leaves(measure, bits + bit, limit)


def node_sizes(parts: Mapping[str, Size]) -> dict[str, Size]:
    """Return the size of every node above the parts of a generation, and of these."""
    nodes: dict[str, Size] = {}
    for bits, size in parts.items():
        for depth in range(len(bits) + 1):
            rows, checkpoints = nodes.get(bits[:depth], (0, 0))
            nodes[bits[:depth]] = Size(rows + size.rows, checkpoints + size.checkpoints)
    return nodes


def leaf_with(parts: Mapping[str, Size], place: int) -> str:
    """Return the part of a generation that covers a place; together they cover all."""
    bits = bits_of(place)
    return next(bits[:depth] for depth in range(PLACE_BITS + 1) if bits[:depth] in parts)
