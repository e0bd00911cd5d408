"""Standardized and normalized weights, equal to those of torch and timm in float64."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import nn
from torch.nn.utils import parametrizations, prune

from filtercrawl.extraction.architecture import on_meta, trace
from support.effective_networks import effective, largest_error, plans_of, randomize, stored_tensors

IMAGE = (torch.empty(1, 4, 16, 16, device="meta"),)
CONVOLUTIONS = {
    "conv": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 4, groups=2),
    "square": lambda: nn.ConvTranspose2d(4, 4, 3),
}


def only(module: nn.Module, *, built: bool = True):
    """Return the effective weight of the one convolution, and its recipe."""
    structure = trace(module, IMAGE) if built else None
    if structure is not None:
        assert structure.problem is None
    (plan,) = plans_of(stored_tensors(module.state_dict()), structure)
    return effective(plan)[0], plan.read()


def canonical(weight: torch.Tensor, module: nn.Module) -> torch.Tensor:
    """Return a weight of torch as `[out, in/groups, *kernel_size]`."""
    if not module.transposed:
        return weight
    return torch.cat([part.transpose(0, 1) for part in weight.chunk(module.groups)])


def response(module: nn.Module) -> torch.Tensor:
    """Return the weight that a padded convolution of one group uses: its response to one tap of each channel."""
    size = module.kernel_size[0]
    images = torch.zeros(module.in_channels, module.in_channels, size, size, dtype=torch.float64)
    images[range(module.in_channels), range(module.in_channels), size // 2, size // 2] = 1
    bias = 0 if module.bias is None else module.bias[:, None, None]
    return (module(images) - bias).transpose(0, 1).flip(-1, -2)


@pytest.mark.parametrize("kind", [StdConv2d, ScaledStdConv2d])
@pytest.mark.parametrize("gamma", [1.0, 1.7])
def test_standardized_weights_are_those_that_timm_convolves_with(kind, gamma):
    options = {"gamma": gamma} if kind is ScaledStdConv2d else {}
    module = randomize(kind(4, 6, 3, padding=1, eps=1e-4, **options))
    weight, recipe = only(module)
    assert recipe.steps == ("weight_standardization",)
    with torch.no_grad():
        assert largest_error(weight, response(module.double())) < 1e-6


@pytest.mark.parametrize("kind", [StdConv2dSame, ScaledStdConv2dSame])
def test_standardization_with_other_padding_is_the_same(kind):
    module = randomize(kind(4, 6, 3))
    plain = StdConv2d(4, 6, 3) if kind is StdConv2dSame else ScaledStdConv2d(4, 6, 3)
    plain.load_state_dict(module.state_dict())
    assert torch.equal(only(module)[0], only(plain)[0])


def test_what_the_names_alone_do_not_tell_has_no_recipe():
    state = ScaledStdConv2d(4, 6, 3).state_dict()
    assert plans_of(stored_tensors(state)) == ()


@pytest.mark.parametrize("conv", CONVOLUTIONS)
@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize("old", [True, False])
def test_weight_norm_along_any_axis(conv, dim, old):
    module = randomize(CONVOLUTIONS[conv]())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        (torch.nn.utils.weight_norm if old else parametrizations.weight_norm)(module, dim=dim)
    lengths = module.weight_g if old else module.parametrizations.weight.original0
    nn.init.normal_(lengths)
    weight, recipe = only(module)
    assert recipe.steps == ("weight_norm",)
    module(torch.zeros(1, 4, 16, 16))  # the old form computes the weight before each call
    assert largest_error(weight, canonical(module.weight.detach(), module)) < 1e-6


@pytest.mark.parametrize("conv", CONVOLUTIONS)
@pytest.mark.parametrize("old", [True, False])
def test_spectral_norm_uses_the_stored_vectors(conv, old):
    module = randomize(CONVOLUTIONS[conv]())
    (torch.nn.utils.spectral_norm if old else parametrizations.spectral_norm)(module)
    module.train()(torch.zeros(1, 4, 16, 16))
    module.eval()(torch.zeros(1, 4, 16, 16))
    weight, recipe = only(module)
    assert recipe.steps == ("spectral_norm",)
    assert largest_error(weight, canonical(module.weight.detach(), module)) < 1e-6


@pytest.mark.parametrize("built", [True, False])
def test_names_alone_tell_both(built):
    for parametrize in (parametrizations.weight_norm, parametrizations.spectral_norm):
        module = randomize(nn.Conv2d(4, 6, 3))
        parametrize(module)
        assert largest_error(only(module, built=built)[0], module.eval().weight.detach()) < 1e-6


def test_a_square_weight_without_an_operator_has_no_known_matrix():
    module = nn.Conv2d(4, 4, 3)
    parametrizations.spectral_norm(module)
    assert plans_of(stored_tensors(module.state_dict())) == ()
    assert only(module)[1].steps == ("spectral_norm",)


def test_a_mask_below_weight_norm_is_a_part_of_the_raw_weight():
    module = randomize(nn.Conv2d(4, 6, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(module)
    prune.random_unstructured(module, "weight_v", 0.5)
    weight, recipe = only(module, built=False)
    assert recipe.steps == ("weight_norm",)
    module(torch.zeros(1, 4, 16, 16))
    assert largest_error(weight, module.weight.detach()) < 1e-6


def test_a_pruned_weight_is_what_the_network_convolves_with():
    module = nn.Conv2d(4, 6, 3)
    prune.random_unstructured(module, "weight", 0.5)
    assert plans_of(stored_tensors(module.state_dict())) == ()


def test_a_filter_of_length_zero_has_no_recipe():
    module = nn.Conv2d(4, 6, 3)
    parametrizations.weight_norm(module)
    state = module.state_dict()
    state["parametrizations.weight.original1"][0] = 0
    (plan,) = plans_of(stored_tensors(state))
    assert plan.read() is None


def test_two_parametrizations_have_no_recipe():
    module = nn.Conv2d(4, 6, 3)
    parametrizations.weight_norm(module)
    parametrizations.spectral_norm(module)
    assert plans_of(stored_tensors(module.state_dict())) == ()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_standardized_filters_have_no_mean_and_one_variance(seed, size):
    module = on_meta(lambda: StdConv2d(4, 6, 3, eps=1e-12)).to_empty(device="cpu")
    torch.manual_seed(seed)
    nn.init.normal_(module.weight, 1.0, size)
    weight = only(module)[0].double().reshape(6, -1)
    torch.testing.assert_close(weight.mean(1), torch.zeros(6).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(weight.var(1, correction=0), torch.ones(6).double(), atol=1e-5, rtol=0)
