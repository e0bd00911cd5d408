"""The relation of two checkpoints by their layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from filtercrawl_analysis.statistics.lineage.layer_pair import compare_weights
from filtercrawl_analysis.statistics.lineage.relation import judge


def layers(seed: int, count: int = 4) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((16, 8, 3, 3)).astype(np.float32) for _ in range(count)]


def relation(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[str, str | None]:
    judged = judge([compare_weights(x, y) for x, y in zip(a, b, strict=True)])
    assert judged.probability is not None
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
    tiny = np.ones((1, 1, 3, 3), np.float32)
    judged = judge([compare_weights(tiny, tiny)])
    assert (judged.relation, judged.probability) == ("none", None)
    assert judged.evidence == "only layers of fewer than 32 weights"


def test_mixed_precisions_are_the_same_network() -> None:
    a = layers(0)
    b = [a[0], *(x.astype(np.float16).astype(np.float32) for x in a[1:])]
    assert relation(a, b) == ("same", "a")
    assert relation(b, a) == ("same", "b")


def test_zeros_are_no_rounded_copy_of_small_weights() -> None:
    small = [weight * np.float32(1e-30) for weight in layers(0)]
    zeros = [0 * weight for weight in small]
    assert relation(small, zeros)[0] not in ("same", "quantized")
    assert relation([layers(1)[0], *small], [layers(1)[0].astype(np.float16).astype(np.float32), *zeros])[0] == "same"


def test_a_small_change_is_training_and_no_permutation() -> None:
    a = layers(0)
    b = [x + 0.001 * y for x, y in zip(a, layers(1), strict=True)]
    judged = judge([compare_weights(x, y) for x, y in zip(a, b, strict=True)], [0.001] * 4)
    assert judged.relation in ("finetune", "sibling")


def test_edits_of_one_layer_beside_equal_codes_are_no_quantization() -> None:
    codes = [(np.rint(x * 30) / 30).astype(np.float32) for x in layers(0)]
    one = codes[1].copy()
    one[0, 0, 0, 0] = 5
    judged = judge([compare_weights(x, y) for x, y in zip(codes, [codes[0], one, *codes[2:]], strict=True)])
    assert (judged.relation, judged.parent) == ("finetune", None)
    assert judged.evidence == "3 of 4 layers are equal; changed weights: 1 of the 1,152 in 1 layer"


def test_one_pruned_layer_beside_equal_ones_is_pruned() -> None:
    a = layers(0, 12)
    assert relation(a, [np.where(np.abs(a[0]) < 0.7, 0, a[0]).astype(np.float32), *a[1:]]) == ("pruned", "a")


def test_permuted_layers_beside_equal_ones_are_permuted_and_counted() -> None:
    a = layers(0)
    b = [a[0][::-1], *a[1:]]
    judged = judge([compare_weights(x, y) for x, y in zip(a, b, strict=True)], [0.0] * 4)
    assert judged.relation == "permuted"
    assert judged.evidence.startswith("3 of 4 layers are equal; 1 layer is equal after a permutation")


@pytest.mark.parametrize(
    ("factors", "expected", "words"),
    [
        ([2, 2, 2, 2], "scaled", "factor of 2 a layer"),
        ([1, 0.5, 3, 1], "scaled", "2 of 4 layers are equal; 2 layers are equal up to a factor of 0.5 to 3"),
        ([-3, 2, 2, 2], "scaled", "factor of -3 to 2"),
        ([-1, -1, -1, -1], "negated", "4 layers are equal with the other sign"),
        ([1, -1, 1, 1], "negated", "3 of 4 layers are equal; 1 layer is equal with the other sign"),
    ],
)
def test_layers_times_a_factor_are_scaled_or_negated(factors: list[float], expected: str, words: str) -> None:
    a = layers(0)
    b = [np.float32(factor) * x for factor, x in zip(factors, a, strict=True)]
    judged = judge([compare_weights(x, y) for x, y in zip(a, b, strict=True)])
    assert (judged.relation, judged.parent) == (expected, None)
    assert words in judged.evidence


def test_weights_that_are_not_finite_in_one_are_no_equal_layer() -> None:
    a = layers(0)
    b = [x.copy() for x in a]
    b[1][:, :, :, 0] = np.nan
    for first, second, side in ((a, b, "b"), (b, a, "a")):
        judged = judge([compare_weights(x, y) for x, y in zip(first, second, strict=True)])
        assert (judged.relation, judged.parent) == ("finetune", None)
        assert judged.evidence.startswith("3 of 4 layers are equal; changed weights: 0 of the 768 in 1 layer")
        assert judged.evidence.endswith(f"384 weights of {side} not finite")
    assert relation(b, b) == ("same", None)


def test_nothing_finite_in_common_is_no_evidence() -> None:
    a = layers(0)
    judged = judge([compare_weights(x, np.full_like(x, np.nan)) for x in a])
    assert (judged.relation, judged.probability) == ("none", None)
    assert relation(a, [np.full_like(a[0], np.nan), *a[1:]]) == ("partial", None)


def test_zeros_of_the_other_sign_make_no_difference() -> None:
    a = [np.where(np.abs(x) < 0.5, 0, x).astype(np.float32) for x in layers(0)]
    judged = judge([compare_weights(x, np.where(x == 0, np.float32(-0.0), x)) for x in a])
    assert (judged.relation, judged.evidence) == (
        "same",
        "all 4 layers are equal but for signs of zeros and bits of NaN",
    )


def test_a_small_layer_that_differs_is_not_passed_over() -> None:
    a, small = layers(0), np.ones((1, 1, 3, 3), np.float32)
    judged = judge([*(compare_weights(x, x) for x in a), compare_weights(small, 2 * small)])
    assert (judged.relation, judged.evidence) == (
        "partial",
        "4 of 5 layers are equal; the others have fewer than 32 weights",
    )


def test_without_common_layers_there_is_no_probability() -> None:
    assert judge([]).probability is None


def halved(layers: list[np.ndarray], dtype: torch.dtype) -> list[np.ndarray]:
    return [torch.from_numpy(x).to(dtype).float().numpy() for x in layers]


def test_two_half_precisions_of_one_network_are_the_same() -> None:
    a = layers(0)
    assert relation(halved(a, torch.float16), halved(a, torch.bfloat16)) == ("same", None)
    assert relation(halved(a, torch.bfloat16), halved(layers(1), torch.float16)) == ("none", None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("factor", "expected"), [(1.7, "scaled"), (-1, "negated")])
def test_scaled_copies_in_half_precision_are_scaled(dtype: torch.dtype, factor: float, expected: str) -> None:
    a = layers(0)
    b = halved([np.float32(factor) * x for x in a], dtype)
    assert relation(a, b) == (expected, None)
    assert relation(b, a) == (expected, None)


def test_a_network_of_which_some_filters_were_replaced_is_edited() -> None:
    a = layers(0)
    b = [x.copy() for x in a]
    b[1][3], b[2][5] = 2 * b[1][4], 0
    judged = judge([compare_weights(x, y) for x, y in zip(a, b, strict=True)])
    assert (judged.relation, judged.parent) == ("finetune", None)
    assert "changed weights" in judged.evidence


def test_evidence_names_the_sides_as_it_is_told() -> None:
    a = layers(0)
    judged = judge([compare_weights(x, 2 * x) for x in a])
    assert judged.evidence.endswith("a factor of 2 a layer, from a to b")
    assert judged.evidence_of("one.pt", "{b}").endswith("from one.pt to {b}")
