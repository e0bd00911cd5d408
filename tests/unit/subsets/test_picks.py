"""Picks depend on the seed and on ids alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.dataset.files.subset_folders import SPLITS
from filtercrawl.subsets.kin import group_models
from filtercrawl.subsets.picks import kernel_scores, lowest, pick, score, share
from filtercrawl.subsets.recipe import Splits
from filtercrawl.subsets.splits import assign_splits

names = st.lists(st.text(max_size=4), unique=True, max_size=12)


@given(names, st.randoms(use_true_random=False), st.integers(1, 5))
def test_what_is_picked_does_not_depend_on_the_order(ids: list[str], random: object, limit: int) -> None:
    shuffled = sorted(ids, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert pick(3, "layers", ids, limit) == pick(3, "layers", shuffled, limit)
    assert len(pick(3, "layers", ids, limit)) == min(limit, len(ids))


@given(names, st.integers(1, 5))
def test_another_id_takes_the_place_of_one_and_moves_no_other(ids: list[str], limit: int) -> None:
    before, after = pick(0, "layers", ids, limit), pick(0, "layers", [*ids, "one more"], limit)
    assert len(before - after) <= 1


def test_scores_are_the_same_for_ever() -> None:
    assert score(1, "layers", "local/a#conv1.weight") == 14755316715385486150
    assert kernel_scores(1, "local/a#conv1.weight", 3).tolist() == [
        465546597031555649,
        17031216560437839576,
        1463043689315382461,
    ]
    assert 0 <= share(1, "split", "local/a") < 1


def test_the_lowest_scores_are_kept_of_those_that_are_left() -> None:
    scores = np.array([5, 1, 4, 1, 0, 3], np.uint64)
    kept = np.array([1, 1, 1, 1, 0, 1], np.bool_)
    assert np.flatnonzero(lowest(scores, kept, 3)).tolist() == [1, 3, 5]
    assert lowest(scores, kept, 5) is kept


def test_splits_have_their_fractions_and_groups_stay_where_they_are_when_others_come() -> None:
    splits = Splits(train=0.7, validation=0.1, test=0.2)
    few = assign_splits(map(str, range(500)), splits, seed=0)
    many = assign_splits(map(str, range(20_000)), splits, seed=0)
    assert {name: many[name] for name in few} == few
    shares = {split: sum(found == split for found in many.values()) / len(many) for split in SPLITS}
    assert all(abs(shares[split] - splits.fractions[split]) < 0.01 for split in SPLITS)
    assert assign_splits(["a"], Splits(train=0.0, test=1.0), seed=0) == {"a": "test"}


@given(
    st.lists(st.sampled_from("abcdefgh"), unique=True),
    st.lists(st.tuples(st.sampled_from("abcdefghxyz"), st.sampled_from("abcdefghxyz"))),
)
def test_groups_are_the_connected_models_named_by_the_first(models: list[str], ties: list[tuple[str, str]]) -> None:
    reached = {name: {name} for name in "abcdefghxyz"}
    for _ in reached:
        for a, b in ties:
            reached[a] = reached[b] = reached[a] | reached[b]
    groups = group_models(models, ties)
    assert groups == group_models(models[::-1], ties[::-1])
    for name in models:
        others = {other for other in models if groups[other] == groups[name]}
        assert groups[name] == min(others)
    assert all((groups[a] == groups[b]) for a in models for b in models if b in reached[a])
