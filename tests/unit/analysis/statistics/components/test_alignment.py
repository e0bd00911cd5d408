"""Components of groups beside those of all kernels: order and signs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.statistics.components.alignment import align_components


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_signs_and_order_are_undone(seed: int, taps: int) -> None:
    random = np.random.default_rng(seed)
    reference = np.linalg.qr(random.normal(size=(taps, taps)))[0].T
    order, signs = random.permutation(taps), random.choice([-1.0, 1.0], taps)
    found = align_components(reference[order] * signs[:, None], reference)
    assert found.nearest.tolist() == order.tolist()
    np.testing.assert_allclose(found.vectors, reference[order], atol=1e-12)
    np.testing.assert_allclose(found.cosine, 1, atol=1e-12)
    assert found.cosine.max() <= 1


def test_a_component_between_two_is_told_by_its_cosine() -> None:
    found = align_components(np.array([[-0.8, -0.6], [0.6, -0.8]]), np.eye(2))
    assert found.nearest.tolist() == [0, 1]
    np.testing.assert_allclose(found.cosine, [0.8, 0.8])
    np.testing.assert_allclose(found.vectors, [[0.8, 0.6], [-0.6, 0.8]])
