"""Filters as pictures: zero is gray, each filter has its own scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from filtercrawl.load.pictures import to_pictures


def test_zero_is_gray_and_the_largest_magnitude_black_or_white() -> None:
    weight = np.zeros((2, 3, 1, 2), np.float32)
    weight[0, :, 0] = [[-2, 0], [1, 0], [0, 0]]
    weight[1, 0, 0, 1] = 1e-3
    found = to_pictures(weight)
    assert found.tolist() == [[[[0, 191, 128], [128, 128, 128]]], [[[128, 128, 128], [255, 128, 128]]]]


def test_one_channel_is_shown_in_gray() -> None:
    found = to_pictures(np.array([[[[1.0, -1.0]]]], np.float32))
    assert found.tolist() == [[[[255, 255, 255], [0, 0, 0]]]]


@given(arrays(np.float32, (2, 3, 2, 2), elements=st.floats(width=32, allow_subnormal=False)))
def test_every_weight_gives_a_picture_and_signs_are_kept(weight: np.ndarray) -> None:
    found = to_pictures(weight)
    assert found.shape == (2, 2, 2, 3)
    finite = np.where(np.isfinite(weight), weight, 0).transpose(0, 2, 3, 1)
    assert (found[finite > 0] >= 128).all()
    assert (found[finite < 0] <= 128).all()


@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (4, 3, 3), (4, 3, 3, 3, 3)])
def test_other_shapes_are_no_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        to_pictures(np.zeros(shape, np.float32))
