"""Weights as a sequence of tokens of one size, and back.

The form is that of SANE (Schürholt, Mahoney and Borth 2024, arXiv 2406.09997): the filters of a layer are rows, each
row is cut into tokens, and the last token of a row is padded with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch.nn.functional import pad

from filtercrawl.api.errors import UsageError

# SANE's type of positions, and the largest one that fits.
_SMALL = torch.int16
_LARGEST_SMALL = torch.iinfo(_SMALL).max


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenSequence:
    """Tokens in the order of the layers, their filters, and the parts of a filter.

    Attributes:
        tokens: float32 `[n, token_size]`.
        mask: bool `[n, token_size]`, false where a token is padded.
        positions: `[n, 3]`, int16 where they fit, else int32: the place in the whole sequence, the layer, and the
            filter in it (its output channel), which all parts of a filter have in common.
    """

    tokens: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, part: slice) -> Self:
        """Return a window of the sequence; its positions remain those in the whole one."""
        return type(self)(tokens=self.tokens[part], mask=self.mask[part], positions=self.positions[part])

    def windows(self, size: int) -> Iterator[Self]:
        """Yield consecutive windows of at most this many tokens."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


def tokenize(weights: Sequence[torch.Tensor], token_size: int = 0) -> TokenSequence:
    """Cut weights into tokens.

    Args:
        weights: float32 `[out_channels, in_channels/groups, *kernel_size]` each, in the order of the sequence.
        token_size: Numbers of a token; 0 for those of the longest filter, so that each is one token.

    Raises:
        UsageError: There is no weight, or the size is negative.

    Example:
        >>> table = filtercrawl.load_layers("org/kernels", "model_id = 'timm/resnet18.a1_in1k'")
        >>> sequence = filtercrawl.tokenize(filtercrawl.to_tensors(table), token_size=288)
    """
    check_token_size(token_size)
    if not weights:
        raise UsageError("a sequence has at least one layer")
    size = token_size or max(filter_size(weight.shape) for weight in weights)
    tokens, masks, places = [], [], []
    for number, weight in enumerate(weights):
        rows = weight.detach().reshape(len(weight), -1)
        parts = math.ceil(rows.shape[1] / size)
        margin = (0, parts * size - rows.shape[1])
        tokens.append(pad(rows, margin).reshape(-1, size))
        masks.append(pad(torch.ones_like(rows, dtype=torch.bool), margin).reshape(-1, size))
        filters = torch.arange(len(rows)).repeat_interleave(parts)
        places.append(torch.stack([torch.full_like(filters, number), filters], 1))
    pairs = torch.cat(places)
    positions = torch.cat([torch.arange(len(pairs))[:, None], pairs], 1)
    kind = _SMALL if int(positions.max()) <= _LARGEST_SMALL else torch.int32
    return TokenSequence(tokens=torch.cat(tokens), mask=torch.cat(masks), positions=positions.to(kind))


def detokenize(tokens: torch.Tensor, shapes: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Return the weights of a whole sequence of tokens, bit for bit what was cut.

    Args:
        tokens: float32 `[n, token_size]`.
        shapes: Shapes of the layers, `[out_channels, in_channels/groups, *kernel_size]`, in the order of the sequence.

    Raises:
        UsageError: The number of tokens is not that of these shapes.

    Example:
        >>> weights = filtercrawl.detokenize(network.sequence.tokens, network.shapes)
    """
    counts = [token_count(shape, tokens.shape[1]) for shape in shapes]
    if sum(counts) != len(tokens):
        raise UsageError(
            f"layers of these shapes are {sum(counts):,} tokens of {tokens.shape[1]} numbers, not {len(tokens):,}"
        )
    pieces = torch.split(tokens, counts)
    return [
        piece.reshape(shape[0], -1)[:, : filter_size(shape)].reshape(tuple(shape))
        for piece, shape in zip(pieces, shapes, strict=True)
    ]


def check_token_size(token_size: int) -> None:
    """Raise UsageError if this is no size of a token."""
    if not isinstance(token_size, int) or token_size < 0:
        raise UsageError(f"token_size: a whole number from 0 on is needed, not {token_size!r}")


def filter_size(shape: Sequence[int]) -> int:
    """Return how many numbers a filter of a layer has."""
    return math.prod(shape[1:])


def token_count(shape: Sequence[int], token_size: int) -> int:
    """Return how many tokens a layer is."""
    return shape[0] * math.ceil(filter_size(shape) / token_size)
