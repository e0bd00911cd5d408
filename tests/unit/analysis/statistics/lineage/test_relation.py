"""The relation of two checkpoints by their layers."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.statistics.lineage.layer_pair import compare_weights
from filtercrawl_analysis.statistics.lineage.relation import judge


def layers(seed: int, count: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((16, 8, 3, 3)).astype(np.float32) for _ in range(count)]


def relation(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[str, str | None]:
    judged = judge([compare_weights(x, y) for x, y in zip(a, b, strict=True)])
    assert 0 <= judged.probability <= 1
    return judged.relation, judged.parent


def test_unrelated_layers_beside_equal_ones_are_no_codes_of_each_other() -> None:
    a = layers(0)
    assert relation(a, [*a[:3], *layers(1, 1)]) == ("partial", None)


def test_one_layer_that_was_left_as_it_is_makes_no_difference_to_a_quantized_copy() -> None:
    a = layers(0)
    b = [a[0], *(np.rint(weight * 30) / 30 for weight in a[1:])]
    assert relation(a, [x.astype(np.float32) for x in b]) == ("quantized", "a")


@pytest.mark.parametrize(("zeros", "expected"), [(0.05, "none"), (0.3, "none")])
def test_zeros_alone_do_not_relate_networks(zeros: float, expected: str) -> None:
    b = [np.where(np.random.default_rng(2).random(x.shape) < zeros, 0, x) for x in layers(1)]
    assert relation(layers(0), [x.astype(np.float32) for x in b]) == (expected, None)


def test_layers_of_few_weights_tell_nothing() -> None:
    tiny = [np.ones((1, 1, 3, 3), np.float32)]
    assert relation(tiny, tiny) == ("none", None)


def test_mixed_precisions_are_the_same_network() -> None:
    a = layers(0)
    b = [a[0], *(x.astype(np.float16).astype(np.float32) for x in a[1:])]
    assert relation(a, b) == ("same", "a")
    assert relation(b, a) == ("same", "b")


def test_a_small_change_is_training_and_no_permutation() -> None:
    a = layers(0)
    b = [x + 0.001 * y for x, y in zip(a, layers(1), strict=True)]
    judged = judge([compare_weights(x, y) for x, y in zip(a, b, strict=True)], [0.001] * 4)
    assert judged.relation in ("finetune", "sibling")
