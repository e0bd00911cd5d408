"""Rows of the table of distances: what they say of a model, and why nothing is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from filtercrawl_analysis.statistics.components.coefficients import CoefficientHistograms, CoefficientSpace
from filtercrawl_analysis.statistics.family.distances import FamilyDistances
from filtercrawl_analysis.statistics.family.family_rows import (
    DEPTH,
    FAMILY,
    FamilyHistograms,
    depth_rows,
    family_rows,
    judged_rows,
    places_in_family,
)
from filtercrawl_analysis.statistics.groups.labels import LayerGroups

COMPONENTS, BINS = 2, 70
WEIGHTS = np.array([0.7, 0.3])


def families(
    members: Sequence[tuple[str, str, int]], deciles: Sequence[str | None] | None = None, far: str = ""
) -> FamilyHistograms:
    """Units of (model, family, kernels) with one law, but for the model `far`."""
    random = np.random.default_rng(0)
    at = np.linspace(-3, 3, BINS)
    laws = {name: np.exp(-np.abs(at - (1.5 if name == far else 0))) for name, _, _ in members}
    counts = [
        random.multinomial(n, np.tile(law / law.sum(), (COMPONENTS, 1)))
        for name, _, n in members
        for law in [laws[name] * np.exp(0.1 * random.standard_normal(BINS))]
    ]
    space = CoefficientSpace(
        mode="sketch", basis=np.eye(COMPONENTS), mean=np.zeros(COMPONENTS), weights=WEIGHTS, low=-3.0, high=3.0
    )
    labels: dict[str, list[str | None]] = {
        "model_id": [name for name, _, _ in members],
        "family": [family for _, family, _ in members],
        "depth_decile": list(deciles or [None] * len(members)),
    }
    units = LayerGroups(
        unit_of_layer=np.arange(len(members)),
        labels=labels,
        kernels=np.array([n for _, _, n in members]),
        layers=np.ones(len(members), np.int64),
    )
    histograms = CoefficientHistograms(space=space, counts=np.array(counts))
    return FamilyHistograms(kernel="3x3", units=units, histograms=histograms, seed=0)


def rows_of(data: FamilyHistograms) -> dict[str, dict[str, Any]]:
    return {row["model_id"]: row for row in judged_rows(list(family_rows(data)))}


def many(n: int, kernels: int = 2000) -> list[tuple[str, str, int]]:
    return [(f"m{i:02}", "f", kernels) for i in range(n)]


def test_a_shifted_model_of_a_large_family_differs_and_the_others_do_not() -> None:
    found = rows_of(families(many(24), far="m07"))
    far = found.pop("m07")
    assert (far["verdict"], far["rank"], far["models"], far["note"]) == ("differs", 1, 24, None)
    assert far["p_rank"] == 1 / 24
    assert far["q"] <= 0.05
    assert far["distance"] > 3 * far["others_high"]
    assert {row["verdict"] for row in found.values()} == {"no difference found"}
    assert {row["others_high"] for row in found.values()} == {far["distance"]}


def test_of_a_family_of_fewer_than_twenty_models_no_verdict_is_given_however_far_one_is() -> None:
    found = rows_of(families(many(19), far="m07"))
    assert {row["verdict"] for row in found.values()} == {"too little to tell"}
    far = found["m07"]
    assert (far["rank"], far["p_rank"], far["p"], far["q"]) == (1, 1 / 19, None, None)
    assert far["note"] == "19 models: the rank of one has no p-value below 1/19 = 0.053; a verdict takes 20"


def test_the_distances_of_a_row_are_those_of_its_family() -> None:
    found = rows_of(families(many(6)))
    distances = {name: row["distance"] for name, row in found.items()}
    for name, row in found.items():
        others = [value for other, value in distances.items() if other != name]
        assert row["others_median"] == pytest.approx(np.median(others))
        assert (row["others_low"], row["others_high"]) == (min(others), max(others))
        assert row["rank"] == 1 + sum(value > row["distance"] for value in others)


def test_sizes_are_those_of_the_model_and_what_all_are_thinned_to() -> None:
    row = rows_of(families([("a", "f", 900), ("b", "f", 300), ("c", "f", 5000)]))["a"]
    assert (row["kernels"], row["layers"], row["tested_kernels"]) == (900, 1, 300)
    assert row["times_median"] == pytest.approx(row["distance"] / row["others_median"])


def test_beside_equal_models_there_is_no_number_of_times() -> None:
    found = FamilyDistances(kernels=100, members=np.arange(3), distances=np.array([0.0, 0.0, 0.3]))
    assert [place["times_median"] for place in places_in_family(found).values()] == [0.0, 0.0, None]


def test_nothing_is_said_of_models_without_enough_kernels_or_others() -> None:
    members = [("small", "f", 99), ("a", "f", 500), ("b", "f", 500), ("alone", "g", 500), ("tiny", "g", 20)]
    found = rows_of(families(members))
    assert {name: row["note"] for name, row in found.items() if row["distance"] is None} == {
        "small": "fewer than 100 kernels",
        "alone": "no other model of the family has 100 kernels of this size",
        "tiny": "fewer than 100 kernels",
    }
    for name in ("small", "alone", "tiny"):
        assert found[name]["verdict"] == "too little to tell"
        assert all(found[name][column] is None for column in ("rank", "models", "p_rank", "p", "q", "others_median"))
    assert all(set(row) == set(FAMILY.names) for row in found.values())


def test_a_model_that_is_small_for_a_large_family_has_no_distance() -> None:
    found = rows_of(families([*many(20, 50_000), ("small", "f", 150)]))
    assert found["small"]["note"] == "fewer kernels than the 50,000 that the models of its family are thinned to"
    assert found["m00"]["models"] == 20


def test_more_than_one_in_twenty_members_cannot_be_told_apart() -> None:
    rows = [dict.fromkeys(FAMILY.names) | {"distance": 1.0, "models": 30} for _ in range(3)]
    values = [(1 / 30, 1e-6), (2 / 30, 1e-6), (1 / 30, 0.5)]
    for row, (p_rank, p) in zip(rows, values, strict=True):
        row |= {"p_rank": p_rank, "p": p}
    found = judged_rows(rows)
    assert [row["verdict"] for row in found] == ["differs", "no difference found", "no difference found"]
    assert found[1]["note"] == "beyond the tail of the distances, but more than one in twenty members are as far"
    assert "as some always are" in found[2]["note"]


def test_models_are_compared_by_depth() -> None:
    members = [("a", "f", 400), ("b", "f", 400), ("a", "f", 600), ("b", "f", 50), ("c", "f", 600), ("c", "f", 300)]
    data = families(members, ["0", "0", "9", "9", "9", None])
    found = list(depth_rows(data))
    assert [(row["depth_decile"], row["model_id"], row["models"]) for row in found] == [
        (0, "a", 2),
        (0, "b", 2),
        (9, "a", 2),
        (9, "c", 2),
    ]
    assert {row["tested_kernels"] for row in found} == {400, 600}
    assert all(set(row) == set(DEPTH.names) for row in found)


def test_thinning_depends_on_the_family_alone() -> None:
    members = [("a", "f", 400), ("b", "f", 900), ("c", "f", 1300)]
    alone = rows_of(families(members))
    beside = rows_of(families([*members, ("x", "g", 700), ("y", "g", 800)]))
    assert {name: alone[name]["distance"] for name in "abc"} == {name: beside[name]["distance"] for name in "abc"}
