"""The nearest other row, against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl_analysis.numerics import twins
from filtercrawl_analysis.numerics.twins import nearest_twins


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.integers(1, 6), st.integers(0, 9999), st.integers(1, 40))
def test_it_is_the_best_of_all_pairs(n: int, width: int, seed: int, block: int) -> None:
    rows = np.random.default_rng(seed).integers(-2, 3, (n, width)).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twins, "_BLOCK_NUMBERS", block)
        found = nearest_twins(rows)
    norms = np.linalg.norm(rows, axis=1)
    for i in range(n):
        others = [j for j in range(n) if j != i and norms[j] > 0]
        if norms[i] == 0 or not others:
            assert found.index[i] == -1
            assert np.isnan(found.cosine[i])
            continue
        cosines = {j: float(rows[i] @ rows[j] / (norms[i] * norms[j])) for j in others}
        best = max(abs(cosine) for cosine in cosines.values())
        first = min(j for j, cosine in cosines.items() if abs(cosine) > best - 1e-9)
        assert found.index[i] == first
        assert found.cosine[i] == pytest.approx(cosines[first], abs=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_scale_and_sign_of_a_row_do_not_matter(scale: float) -> None:
    rows = np.random.default_rng(0).standard_normal((8, 5))
    plain = nearest_twins(rows)
    scaled = nearest_twins(rows * scale * np.array([1, -2, 3, -4, 5, 6, -7, 8])[:, None])
    assert (plain.index == scaled.index).all()
    assert np.allclose(np.abs(plain.cosine), np.abs(scaled.cosine))
