"""The analysis symmetry: kernels whose symmetry is known, and small datasets."""

import numpy as np
import pytest

from filtercrawl_symmetry import BY_CHANCE, even_shares


def test_it_keeps_every_promise(check_plugin):
    check_plugin("filtercrawl_symmetry")


def test_kernels_of_known_symmetry():
    box, edge = np.ones((3, 3)), np.array([[1, 0, -1]] * 3)
    shares = even_shares(np.stack([box, edge, edge.T, np.zeros((3, 3))]))
    assert shares == pytest.approx(np.array([[1, 1], [0, 1], [1, 0]]))  # left-right, up-down


def test_independent_numbers_are_even_by_chance():
    kernels = np.random.default_rng(0).standard_normal((100_000, 3, 3))
    total = (kernels**2).sum((1, 2))
    shares = (even_shares(kernels) * total[:, None]).sum(0) / total.sum()
    assert shares == pytest.approx(BY_CHANCE, abs=0.005)
