"""Rules for kernels: what is dead, too small, not finite, or equal to another one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from filtercrawl.api.errors import DatasetError
from filtercrawl.subsets import kernel_duplicates
from filtercrawl.subsets.kernel_duplicates import FirstKernels
from filtercrawl.subsets.kernel_rules import Kernels, canonical_bytes, failing_kernels
from filtercrawl.subsets.kernel_selection import _by_layer
from filtercrawl.subsets.recipe import Equality, KernelRules
from support.dataset_rows import sketch

numbers = st.floats(-8, 8, width=32) | st.sampled_from([0.0, -0.0, 0.01, -0.01])
layers = arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(4)), elements=numbers)


def failing(kernels: Kernels, rules: KernelRules) -> dict[str, list[int]]:
    return {reason: np.flatnonzero(mask).tolist() for reason, mask in failing_kernels(kernels, rules)}


@given(layers)
def test_kernels_below_a_hundredth_are_those_that_the_index_counts_as_dead(kernels: Kernels) -> None:
    counted = sketch(kernels.reshape(-1, 1, 2, 2))["n_dead"]
    assert len(failing(kernels, KernelRules(dead_below=0.01))["dead"]) == counted


def test_kernels_that_are_not_finite_are_not_dead_and_do_not_make_others_so() -> None:
    kernels = np.array([[np.inf, 0], [1, 0], [0.001, 0.009], [np.nan, 0], [0, -0.02]], np.float32)
    found = failing(kernels, KernelRules(finite=True, dead_below=0.01))
    assert found == {"nonfinite": [0, 3], "dead": [2]}


@given(layers)
def test_norms_are_those_of_float64(kernels: Kernels) -> None:
    norms = torch.linalg.vector_norm(torch.from_numpy(kernels).double(), dim=1).numpy()
    middle = float(np.median(norms))
    outside = [row for row, norm in enumerate(norms) if abs(norm - middle) > 1e-9 and norm < middle]
    found = failing(kernels, KernelRules(min_norm=middle))["norm"]
    assert set(outside) <= set(found)
    assert not any(norms[row] > middle + 1e-9 for row in found)


def test_a_norm_that_is_not_a_number_is_in_no_range() -> None:
    kernels = np.array([[np.nan, 0], [3, 4], [0, 0]], np.float32)
    assert failing(kernels, KernelRules(max_norm=5.0)) == {"norm": [0]}
    assert failing(kernels, KernelRules(min_norm=1.0, max_norm=4.9)) == {"norm": [0, 1, 2]}


@pytest.mark.parametrize(
    ("equality", "equal"),
    [
        ("exact", [[0, 3]]),
        ("sign", [[0, 1, 3]]),
        ("scale", [[0, 2, 3], [1, 4]]),
        ("scale_and_sign", [[0, 1, 2, 3, 4]]),
    ],
)
def test_equality_is_as_the_recipe_says(equality: Equality, equal: list[list[int]]) -> None:
    first = np.array([0, 1.5, -3], np.float32)
    kernels = np.stack([first, -first, 4 * first, first * [-1, 1, 1], -first / 8, [1, 2, 3], [0, 0, 0]]).astype(
        np.float32
    )
    found: dict[bytes, list[int]] = {}
    for row, canonical in enumerate(canonical_bytes(kernels, equality)):
        found.setdefault(canonical.tobytes(), []).append(row)
    assert [rows for rows in found.values() if len(rows) > 1] == equal


@given(layers)
@example(np.array([[-1e-45, 2, 2, 2]], np.float32))
def test_canonical_kernels_are_canonical_again(kernels: Kernels) -> None:
    for equality in ("sign", "scale", "scale_and_sign"):
        once = canonical_bytes(kernels, equality)
        assert canonical_bytes(once, equality).tobytes() == once.tobytes()


def test_the_first_of_equal_kernels_of_one_size_and_scope_stays() -> None:
    a, b = np.array([[1, 2, 3, 4]], np.float32), np.array([[5, 6, 7, 8]], np.float32)
    with FirstKernels() as found:
        found.add(np.concatenate([b, a, b]), "2x2", 0, np.array([4, 5, 6]))
        found.add(np.concatenate([a, b]), "2x2", 0, np.array([0, 1]))
        found.add(a, "4", 0, np.array([2]))
        found.add(a, "2x2", 1, np.array([3]))
        assert np.concatenate(list(found.first())).tolist() == [0, 1, 2, 3]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_numbers_become_a_mask_for_each_layer(counts: list[int], data: st.DataObject) -> None:
    first = np.cumsum([0, *counts])
    numbers = np.array(sorted(data.draw(st.sets(st.integers(0, int(first[-1]) - 1)))), np.int64)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(numbers)), max_size=3)))
    masks = list(_by_layer(np.split(numbers, cuts), first))
    assert [layer for layer, _ in masks] == list(range(len(counts)))
    assert np.flatnonzero(np.concatenate([mask for _, mask in masks])).tolist() == numbers.tolist()


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_duplicates, "_CONFIG", {"memory_limit": "30MB", "max_temp_directory_size": "0KB"})
    kernels = np.random.default_rng(0).standard_normal((40_000, 121)).astype(np.float32)

    def compare() -> None:
        with FirstKernels() as found:
            for start in range(0, 10 * len(kernels), len(kernels)):
                found.add(kernels + np.float32(start), "11x11", 0, np.arange(start, start + len(kernels)))
            list(found.first())

    with pytest.raises(DatasetError, match=r"cannot hold the kernels that are compared .* TMPDIR"):
        compare()
