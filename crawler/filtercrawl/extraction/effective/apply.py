"""Compute effective weights and biases from recipes, in float64, rounded once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from filtercrawl.extraction.effective.recipe import LayerKey, Recipe, per_channel


def effective_weight(
    recipe: Recipe, raw: Mapping[LayerKey, NDArray[np.float32]], *, fold_norm: bool = True
) -> NDArray[np.float32]:
    """Return the weight that the network convolves with.

    Args:
        recipe: How it follows from stored layers.
        raw: The stored weights of its terms, `[out, in/groups, *kernel_size]` each.
        fold_norm: Whether the normalization that follows is a part of the convolution.

    Returns:
        float32 of `recipe.shape`, computed in float64 and rounded once.

    Raises:
        KeyError: The weight of a term is missing.
        ValueError: A kernel does not fit into the center of the effective one.
    """
    weight = np.zeros(recipe.shape)
    for term in recipe.terms:
        part = raw[term.layer].astype(np.float64)
        if term.scale is not None:
            part *= term.scale
        if term.shift is not None:
            part += term.shift
        weight[center(part.shape, recipe.shape, term.dilation)] += part
    if recipe.rest is not None:
        weight[center(recipe.rest.shape, recipe.shape)] += recipe.rest
    if recipe.norm is not None and fold_norm:
        weight *= per_channel(recipe.norm.factor, weight.ndim)
    return weight.astype(np.float32)


def effective_bias(recipe: Recipe, *, fold_norm: bool = True) -> NDArray[np.float64] | None:
    """Return the bias that belongs to the effective weight, float64 `[out]`; None for 0."""
    if recipe.norm is not None and fold_norm:
        return recipe.norm.shift(recipe.bias)
    return recipe.bias


def center(part: tuple[int, ...], whole: tuple[int, ...], dilation: tuple[int, ...] | None = None) -> tuple[slice, ...]:
    """Return where a smaller or dilated kernel lies in the center of a larger one.

    Args:
        part: Shape of the smaller weight, `[out, in/groups, *kernel_size]`.
        whole: Shape of the larger weight.
        dilation: Distance of the taps of the smaller one, one number an axis; None for 1.

    Raises:
        ValueError: The shapes have no common center.
    """
    slices = [slice(None), slice(None)]
    for small, large, step in zip(part[2:], whole[2:], dilation or (1,) * len(part[2:]), strict=True):
        margin = large - (step * (small - 1) + 1)
        if margin < 0 or margin % 2 or part[:2] != whole[:2]:
            raise ValueError(
                f"a weight of shape {part} with dilation {dilation} has no place in the center of one of shape {whole}"
            )
        slices.append(slice(margin // 2, large - margin // 2, step))
    return tuple(slices)
