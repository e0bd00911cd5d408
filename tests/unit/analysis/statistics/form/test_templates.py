"""Names of depthwise kernels by correlation with templates."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.templates import NAMES, NOISE, OTHER, name_kernels, templates

SIZES = [(3, 3), (5, 5), (7, 7), (3, 5)]


def name(kernel: list[list[float]]) -> str:
    array = np.array(kernel, float)
    named = name_kernels(array.reshape(1, -1), (array.shape[0], array.shape[1]), np.random.default_rng(0))
    return str(named.names[0])


@pytest.mark.parametrize(
    ("expected", "kernel"),
    [
        ("on-center", [[-1, -2, -1], [-2, 12, -2], [-1, -2, -1]]),
        ("off-center", [[1, 2, 1], [2, -12, 2], [1, 2, 1]]),
        ("horizontal derivative", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        ("vertical derivative", [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]),
        ("diagonal derivative", [[-2, -1, 0], [-1, 0, 1], [0, 1, 2]]),
        ("second derivative", [[-1, 2, -1], [-2, 4, -2], [-1, 2, -1]]),
        ("saddle", [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]),
        ("cross", [[-1, 1, -1], [1, 1, 1], [-1, 1, -1]]),
        ("offset", [[0, 0, 0], [0, 0, 9], [0, 0, 0]]),
        ("offset", [[-9, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ("flat", [[1, 1.1, 1], [1, 0.9, 1], [1, 1, 1]]),
        ("flat", [[-1, -1, -1], [-1, -1, -1], [-1, -1, -1]]),
    ],
)
def test_textbook_kernels_have_their_names(expected: str, kernel: list[list[float]]) -> None:
    assert name(kernel) == expected


@pytest.mark.parametrize("size", SIZES)
def test_names_do_not_depend_on_scale_or_on_what_is_added(size: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    bank = templates(size)
    kernels = bank.rows[random.integers(0, len(bank.rows), 200)] + 0.05 * random.standard_normal(
        (200, bank.rows.shape[1])
    )
    assert (bank.names(kernels) == bank.names(7 * kernels)).all()
    tilted = kernels + 0.1 * np.abs(kernels).max(1, keepdims=True)
    assert (bank.names(kernels) == bank.names(tilted)).all()


def test_a_quarter_turn_exchanges_the_directions_of_derivatives() -> None:
    kernels = templates((7, 7)).rows.reshape(-1, 7, 7)
    before, after = (
        templates((7, 7)).names(some.reshape(-1, 49)) for some in (kernels, np.rot90(kernels, axes=(1, 2)))
    )
    swapped = {"horizontal derivative": "vertical derivative", "vertical derivative": "horizontal derivative"}
    assert [swapped.get(text, text) for text in before.tolist()] == after.tolist()


def noise(size: tuple[int, int], count: int, seed: int) -> Array:
    drawn: Array = np.random.default_rng(seed).standard_normal((count, size[0] * size[1]))
    return drawn


@pytest.mark.parametrize("size", [(5, 5), (7, 7)])
def test_random_kernels_are_noise_like_but_for_one_in_twenty(size: tuple[int, int]) -> None:
    named = name_kernels(noise(size, 1000, 2), size, np.random.default_rng(3))
    for names in (named.names, named.shuffled):
        assert 0.93 <= (names == NOISE).mean() <= 0.97
        assert ((names == NOISE) | (names == OTHER)).all()


def test_random_kernels_of_three_by_three_have_names_by_chance_alone() -> None:
    named = name_kernels(noise((3, 3), 4000, 4), (3, 3), np.random.default_rng(5))
    for text in NAMES:
        real, chance = ((names == text).mean() for names in (named.names, named.shuffled))
        assert abs(real - chance) < 4 * np.sqrt(0.25 / 4000 + chance * (1 - chance) / 2000), text
    assert 0.05 < np.isin(named.names, [NOISE, OTHER], invert=True).mean() < 0.15


def test_structure_without_a_template_is_other() -> None:
    x = np.arange(9) - 4
    checkers = np.outer(np.cos(np.pi / 2 * x), np.cos(np.pi / 2 * x)).ravel()[None]
    assert name_kernels(np.repeat(checkers, 3, 0), (9, 9), np.random.default_rng(6)).names.tolist() == [OTHER] * 3


def test_no_kernels_have_no_names() -> None:
    assert len(name_kernels(np.empty((0, 9)), (3, 3), np.random.default_rng(7)).names) == 0
