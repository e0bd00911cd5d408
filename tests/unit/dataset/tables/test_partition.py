"""Which checkpoints are in which part: a pure function of their ids, versions and sizes."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from filtercrawl.dataset.schema.version_order import UNRELEASED, release_order
from filtercrawl.dataset.tables.partition import (
    PLACE_BITS,
    Size,
    bits_of,
    generations,
    leaf_with,
    leaves,
    node_sizes,
    place_of,
    place_range,
)

LIMIT = 20
SIZES = st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 30), max_size=40)


def parts_of(sizes: dict[str, int]) -> dict[str, Size]:
    def measure(bits: str) -> Size:
        first, end = place_range(bits)
        below = [rows for name, rows in sizes.items() if first <= place_of(name) < end]
        return Size(sum(below), len(below))

    return dict(leaves(measure, limit=LIMIT))


def test_a_place_is_the_beginning_of_a_hash() -> None:
    digest = hashlib.sha256(b"timm/resnet18").hexdigest()
    assert f"{place_of('timm/resnet18'):012x}" == digest[: PLACE_BITS // 4]
    assert int(bits_of(place_of("timm/resnet18")), 2) == place_of("timm/resnet18")


@given(SIZES)
def test_every_checkpoint_is_in_one_part_and_no_part_is_too_large(sizes: dict[str, int]) -> None:
    parts = parts_of(sizes)
    assert sum(size.checkpoints for size in parts.values()) == len(sizes)
    assert sum(size.rows for size in parts.values()) == sum(sizes.values())
    for bits, size in parts.items():
        assert size.rows <= LIMIT or size.checkpoints == 1
        parent = node_sizes(parts).get(bits[:-1]) if bits else None
        assert parent is None or (parent.rows > LIMIT and parent.checkpoints > 1)
    for name in sizes:
        leaf = leaf_with(parts, place_of(name))
        first, end = place_range(leaf)
        assert first <= place_of(name) < end
        assert leaf in parts


@given(SIZES, st.text(min_size=1, max_size=8), st.integers(1, 30))
def test_one_more_checkpoint_changes_one_part(sizes: dict[str, int], name: str, rows: int) -> None:
    assume(name not in sizes)
    before, after = parts_of(sizes), parts_of(sizes | {name: rows})
    changed = leaf_with(before, place_of(name))
    assert {bits: size for bits, size in before.items() if bits != changed}.items() <= after.items()
    assert all(bits.startswith(changed) for bits in after.keys() - before.keys())


@pytest.mark.parametrize("number", [1, 2, 32, 33, 34, 64, 65, 66, 700])
def test_generations_stay_few_and_old_ones_the_same(number: int) -> None:
    names = [f"v{i}" for i in range(number)]
    random.Random(number).shuffle(names)
    found = generations(names)
    ordered = sorted(names, key=release_order)
    assert [found[name] for name in ordered] == sorted((found[name] for name in ordered), key=bool_order)
    assert found["v0"] == ""
    assert all(generation in ("", name) for name, generation in found.items() if name)
    assert len(set(found.values())) <= 33
    longer = generations([*names, f"v{number}"])
    if number % 32:
        assert longer.items() >= found.items()
    assert (set(longer.values()) == {"", UNRELEASED}) is (number % 32 == 0)


def bool_order(generation: str) -> tuple[bool, str]:
    return generation != "", release_order(generation)


def test_without_a_version_there_is_one_generation() -> None:
    assert generations([""]) == {"": ""}
    assert generations(["v1", ""]) == {"v1": "", "": UNRELEASED}
