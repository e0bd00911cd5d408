"""Arithmetic of recipes against torch in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from filtercrawl.extraction.effective import LayerKey, Norm, Recipe, Term, effective_bias, effective_weight

MAIN = LayerKey("conv.weight")


WHOLE = Term(layer=MAIN)


def recipe(shape, terms=(WHOLE,), **fields):
    steps = ("batch_norm",) if fields.get("norm") is not None else ("branches",)
    return Recipe(layer=MAIN, steps=steps, shape=shape, groups=1, terms=terms, **fields)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), out=st.integers(1, 6), affine=st.booleans(), biased=st.booleans())
def test_folding_a_norm_is_what_torch_fuses(seed, out, affine, biased):
    torch.manual_seed(seed)
    conv = nn.Conv2d(3, out, 3, bias=biased).double()
    norm = nn.BatchNorm2d(out, eps=1e-3, affine=affine).double().eval()
    norm.running_mean = torch.randn(out).double()
    norm.running_var = torch.rand(out).double() + 0.01
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    for tensor in [*conv.parameters(), *norm.parameters(), norm.running_mean, norm.running_var]:
        tensor.data = tensor.data.float().double()  # numbers that the file can hold
    fused = fuse_conv_bn_eval(conv.eval(), norm)
    stored = Norm(
        path="bn",
        evidence="graph",
        eps=norm.eps,
        scale=norm.weight.detach().float().numpy() if affine else None,
        offset=norm.bias.detach().float().numpy() if affine else None,
        mean=norm.running_mean.float().numpy(),
        variance=norm.running_var.float().numpy(),
    )
    bias = conv.bias.detach().numpy() if biased else None
    raw = {MAIN: conv.weight.detach().float().numpy()}
    folded = recipe(tuple(conv.weight.shape), norm=stored, bias=bias)
    weight = fused.weight.detach().numpy()
    assert np.abs(effective_weight(folded, raw) - weight).max() <= 1e-7 * np.abs(weight).max()
    np.testing.assert_allclose(effective_bias(folded), fused.bias.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(effective_weight(folded, raw, fold_norm=False), raw[MAIN])
    assert effective_bias(folded, fold_norm=False) is bias


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_a_sum_of_branches_convolves_as_the_merged_kernel(seed, dilation):
    rng = np.random.default_rng(seed)
    large, small = rng.normal(size=(4, 2, 7, 7)), rng.normal(size=(4, 2, 3, 3))
    large, small = large.astype(np.float32), small.astype(np.float32)
    point = rng.normal(size=(4, 2, 1, 1)).astype(np.float32)
    scale, shift = rng.normal(size=(4, 1, 1, 1)), rng.normal(size=(1, 2, 1, 1))
    other = LayerKey("small.weight")
    merged = recipe(large.shape, (WHOLE, Term(layer=other, scale=scale, shift=shift, dilation=dilation)), rest=point)
    weight = effective_weight(merged, {MAIN: large, other: small})
    image = torch.from_numpy(rng.normal(size=(1, 4, 12, 12)))

    def convolve(kernel, dilation=(1, 1)):
        kernel = torch.from_numpy(np.asarray(kernel, np.float64))
        padding = [d * (k - 1) // 2 for d, k in zip(dilation, kernel.shape[2:], strict=True)]
        return nn.functional.conv2d(image, kernel, padding=padding, dilation=dilation, groups=2)

    branches = convolve(large) + convolve(small.astype(np.float64) * scale + shift, dilation) + convolve(point)
    torch.testing.assert_close(convolve(weight), branches, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "dilation"), [(2, None), (5, None), (3, (2, 2)), (1, None)])
def test_a_kernel_without_a_place_in_the_center_is_an_error(size, dilation):
    other = LayerKey("other.weight")
    out = 2 if size > 1 else 3
    merged = recipe((2, 1, 3, 3), (WHOLE, Term(layer=other, dilation=dilation)))
    raw = {MAIN: np.ones((2, 1, 3, 3), np.float32), other: np.ones((out, 1, size, size), np.float32)}
    with pytest.raises(ValueError, match="center"):
        effective_weight(merged, raw)


def test_an_unknown_epsilon_is_that_of_torch():
    ones = np.ones(2, np.float32)
    norm = Norm(path="bn", evidence="names", eps=None, scale=None, offset=None, mean=ones, variance=ones)
    np.testing.assert_array_equal(norm.factor, 1 / np.sqrt(1 + nn.BatchNorm2d(2).eps))
