"""Which kernels a benchmark set has does not depend on how they are stored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import UsageError
from filtercrawl.load.kernel_numbers import KernelBlock
from filtercrawl_publish.export.fanns.options import BenchmarkOptions
from filtercrawl_publish.export.fanns.sample import Sample, hash_kernels, sample


def blocks(kernels: np.ndarray, order: np.ndarray, size: int) -> list[KernelBlock]:
    """Kernels in another order, in blocks of parts of one kernel each, with their numbers."""
    rows = [order[start : start + size] for start in range(0, len(order), size)]
    return [KernelBlock.joined([(kernels[row : row + 1], int(row)) for row in part]) for part in rows]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 50), st.integers(1, 60), st.integers(0, 3))
def test_order_and_blocks_do_not_matter(seed: int, size: int, n: int, chosen_by: int) -> None:
    random = np.random.default_rng(seed)
    kernels = random.integers(-1, 2, (50, 3)).astype("f4")
    kernels[:5, 0] = [np.nan, np.inf, -np.inf, -0.0, 0.0]
    one = sample(blocks(kernels, np.arange(50), 50), 3, n, chosen_by)
    other = sample(blocks(kernels, random.permutation(50), size), 3, n, chosen_by)
    assert np.array_equal(one.numbers, other.numbers)
    assert np.array_equal(one.kernels, other.kernels)
    check(one, kernels, n, chosen_by)


def check(found: Sample, kernels: np.ndarray, n: int, seed: int) -> None:
    usable = [row for row in range(len(kernels)) if np.isfinite(kernels[row]).all() and kernels[row].any()]
    different = {tuple((kernels[row] + 0).tolist()): row for row in reversed(usable)}  # the lowest number stays
    ordered = sorted(different.values(), key=lambda row: int(hash_kernels(kernels[row : row + 1], seed)[0]))
    assert found.numbers.tolist() == ordered[:n]
    assert np.array_equal(found.kernels, kernels[found.numbers])


def test_hashes_of_different_kernels_and_seeds_differ() -> None:
    kernels = np.random.default_rng(0).standard_normal((100_000, 3)).astype("f4")
    hashes = [hash_kernels(kernels, seed) for seed in (0, 1)]
    assert len(np.unique(np.concatenate(hashes))) == 200_000
    shares = [(found < np.uint64(1 << 63)).mean() for found in hashes]
    assert np.allclose(shares, 0.5, atol=0.01)


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_that_the_hash_cannot_have_is_a_usage_error(seed: int) -> None:
    with pytest.raises(UsageError, match="a seed is from 0"):
        BenchmarkOptions(seed=seed)
    assert len(hash_kernels(np.ones((2, 9), np.float32), (1 << 64) - 1)) == 2
