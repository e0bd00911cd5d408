"""Random numbers for a purpose."""

from __future__ import annotations

import numpy as np

from filtercrawl_analysis.statistics.groups.resampling import random_generator


def test_numbers_drawn_depend_on_the_seed_and_the_purpose_alone() -> None:
    first = random_generator(1, "task", "3x3").random(3)
    assert np.array_equal(first, random_generator(1, "task", "3x3").random(3))
    assert not np.array_equal(first, random_generator(2, "task", "3x3").random(3))
    assert not np.array_equal(first, random_generator(1, "task", "5x5").random(3))
