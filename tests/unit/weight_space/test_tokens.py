"""Weights are cut into tokens in SANE's form, and come back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import UsageError
from filtercrawl.weight_space.tokens import detokenize, token_count, tokenize

SHAPES = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=4
)


def weights_of(shapes: list[tuple[int, ...]], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def by_loops(weights: list[np.ndarray], size: int) -> tuple[list[list[float]], list[list[bool]], list[list[int]]]:
    """Tokens, masks and positions, a number at a time."""
    tokens, masks, positions = [], [], []
    for layer, weight in enumerate(weights):
        for channel, kernels in enumerate(weight):
            numbers = [float(x) for x in kernels.flatten()]
            while numbers:
                taken, numbers = numbers[:size], numbers[size:]
                padding = size - len(taken)
                positions.append([len(tokens), layer, channel])
                tokens.append(taken + [0.0] * padding)
                masks.append([True] * len(taken) + [False] * padding)
    return tokens, masks, positions


@settings(max_examples=30, deadline=None)
@given(SHAPES, st.integers(1, 20))
def test_tokens_are_those_of_a_loop_and_come_back(shapes: list[tuple[int, ...]], size: int) -> None:
    weights = weights_of(shapes)
    found = tokenize(weights, size)
    tokens, masks, positions = by_loops([weight.numpy() for weight in weights], size)
    assert found.tokens.tolist() == tokens
    assert found.mask.tolist() == masks
    assert found.positions.tolist() == positions
    assert found.positions.dtype == torch.int16
    back = detokenize(found.tokens, shapes)
    assert [piece.shape for piece in back] == [weight.shape for weight in weights]
    assert all(torch.equal(a, b) for a, b in zip(weights, back, strict=True))


def test_bits_come_back() -> None:
    weight = torch.tensor([[float("nan"), -0.0, float("inf")], [1e-45, 0.0, -1.0]])[:, None]
    back = detokenize(tokenize([weight], 2).tokens, [weight.shape])[0]
    assert back.numpy().tobytes() == weight.numpy().tobytes()


def test_size_zero_is_that_of_the_longest_filter() -> None:
    sequence = tokenize(weights_of([(4, 2, 3, 3), (3, 5, 5, 5), (2, 1, 3, 3)]), 0)
    assert sequence.tokens.shape == (9, 125)
    assert sequence.mask.sum(1).tolist() == [18] * 4 + [125] * 3 + [9] * 2


def test_windows_keep_their_positions_in_the_whole_sequence() -> None:
    sequence = tokenize(weights_of([(7, 1, 3, 3), (4, 2, 3, 3)]), 9)
    windows = list(sequence.windows(4))
    assert [len(window) for window in windows] == [4, 4, 4, 3]
    assert torch.equal(torch.cat([window.tokens for window in windows]), sequence.tokens)
    assert windows[2].positions[:, 0].tolist() == [8, 9, 10, 11]


def test_positions_that_do_not_fit_are_wider() -> None:
    assert tokenize([torch.zeros(32769, 1, 1, 1)], 1).positions.dtype == torch.int32
    assert tokenize([torch.zeros(32768, 1, 1, 1)], 1).positions.dtype == torch.int16


@pytest.mark.parametrize(
    ("weights", "size", "message"),
    [
        ([], 9, "at least one layer"),
        ([torch.zeros(1, 1, 3, 3)], -1, "not -1"),
        ([torch.zeros(1, 1, 3, 3)], 1.5, "not 1.5"),
    ],
)
def test_what_is_no_sequence_is_refused(weights: list[torch.Tensor], size: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tokenize(weights, size)


def test_other_shapes_are_refused() -> None:
    tokens = tokenize(weights_of([(4, 2, 3, 3)]), 9).tokens
    assert token_count((4, 2, 3, 3), 9) == 8
    with pytest.raises(UsageError, match="are 10 tokens of 9 numbers, not 8"):
        detokenize(tokens, [(5, 2, 3, 3)])
