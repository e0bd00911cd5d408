"""Captions fit what a figure shows: marks that it has, and whether it shows all pairs or some."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.analyses.drift import describe_marks, describe_pairs
from filtercrawl_analysis.plots.heat_map import drift_matrix


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({}, "Of 3 pairs, none is found to differ (q <= 0.05)."),
        ({("a", "b"): "differs"}, "A dot marks a pair that differs (q <= 0.05), 1 of 3 pairs."),
        (
            {("a", "b"): "too little to tell", ("c", "a"): "too little to tell"},
            "Of 3 pairs, none is found to differ (q <= 0.05). A hatched pair has too few models to tell, 2 of 3 pairs.",
        ),
    ],
)
def test_only_marks_that_a_heat_map_has_are_explained(verdicts: dict[tuple[str, str], str], said: str) -> None:
    assert describe_marks(drift_matrix(["a", "b", "c"], [1, 1, 1], np.zeros((3, 3)), verdicts)) == said


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("differs", "A dot marks that the pair differs (q <= 0.05)."),
        ("no difference found", "The pair is not found to differ."),
        ("too little to tell", "The pair is hatched: it has too few models to tell."),
    ],
)
def test_a_single_pair_is_not_counted(verdict: str, said: str) -> None:
    assert describe_marks(drift_matrix(["a", "b"], [1, 1], np.zeros((2, 2)), {("a", "b"): verdict})) == said


def test_pairs_left_out_are_told_only_where_some_are() -> None:
    assert describe_pairs(20, 45) == "The 20 pairs with the largest estimates, of 45"
    assert describe_pairs(1, 3) == "The 1 pair with the largest estimate, of 3"
    assert describe_pairs(3, 3) == "All 3 pairs"
    assert describe_pairs(1, 1) == "The pair of groups"
