"""Merged branches convolve as the branches do, by the names and numbers of a state dict alone."""

from __future__ import annotations

import pytest
import torch
from timm.models.byobnet import MobileOneBlock, RepVggBlock
from timm.models.efficientvim import EfficientViMBlock
from timm.models.fastvit import ReparamLargeKernelConv, RepConditionalPosEnc, RepMixer
from timm.models.repvit import RepVggDw
from timm.models.shvit import Conv2dNorm, Residual
from torch import nn

from filtercrawl.extraction.effective.plan import bn_folded
from support.branch_modules import (
    AcBlock,
    Sum,
    UniRepLKNetBlock,
    conv_bn,
    diverse_branch_block,
    mobileone,
    named,
    repvgg,
)
from support.effective_networks import effective, largest_error, plans_of, randomize, stored_tensors

BLOCKS = {
    "repvgg": lambda: repvgg("rbr_dense", "rbr_1x1", "rbr_identity", ("conv", "bn")),
    "repvgg_groups": lambda: repvgg("rbr_dense", "rbr_1x1", "rbr_identity", ("conv", "bn"), groups=2),
    "repvgg_strided": lambda: Sum(rbr_dense=conv_bn(4, 6, 3), rbr_1x1=conv_bn(4, 6, 1)),
    "repvgg_yolov7": lambda: repvgg("rbr_dense", "rbr_1x1", "rbr_identity", ("0", "1")),
    "repvgg_mmpretrain": lambda: repvgg("branch_3x3", "branch_1x1", "branch_norm", ("conv", "norm")),
    "repvgg_ultralytics": lambda: named(cv1=repvgg("conv1", "conv2", "bn", ("conv", "bn"))),
    "mobileone": mobileone,
    "replknet": lambda: Sum(lkb_origin=conv_bn(4, 4, 13, groups=4), small_conv=conv_bn(4, 4, 5, groups=4)),
    "unireplknet": UniRepLKNetBlock,
    "acnet": AcBlock,
    "dbb": lambda: diverse_branch_block(4, 6),
    "dbb_groups": lambda: diverse_branch_block(4, 6, groups=2, middle=8),
    "dbb_depthwise": lambda: diverse_branch_block(4, 4, groups=4, middle=8),
}


@pytest.mark.parametrize("prefix", ["", "module.backbone.0."])
@pytest.mark.parametrize("name", BLOCKS)
def test_one_convolution_computes_what_the_branches_do(name, prefix):
    block = randomize(BLOCKS[name]())
    state = {f"{prefix}{key}": tensor for key, tensor in block.state_dict().items()}
    (plan,) = plans_of(stored_tensors(state))
    recipe = plan.read()
    assert recipe.steps[0] == "branches"
    assert recipe.eps_assumed
    assert bn_folded(plan.layer, plan) is False
    weight, bias = (tensor.double() for tensor in effective(plan))
    image = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    padding = tuple(k // 2 for k in weight.shape[2:])
    merged = nn.functional.conv2d(image, weight, bias, padding=padding, groups=4 // weight.shape[1])
    with torch.no_grad():
        branches = block.double()(image)
    assert float((merged - branches).abs().max() / branches.abs().max()) < 1e-6


TIMM = {
    "repvgg": lambda: RepVggBlock(4, 4),
    "repvgg_groups": lambda: RepVggBlock(4, 4, group_size=2),
    "mobileone": lambda: MobileOneBlock(4, 4, num_conv_branches=4, group_size=1),
    "fastvit_mixer": lambda: RepMixer(4, layer_scale_init_value=0.5),
    "fastvit_mixer_unscaled": lambda: RepMixer(4, layer_scale_init_value=None),
    "fastvit_large": lambda: ReparamLargeKernelConv(4, 4, 7, 1, 1, small_kernel=3),
    "fastvit_position": lambda: RepConditionalPosEnc(4),
    "repvit": lambda: RepVggDw(4, 3),
    "repvit_legacy": lambda: RepVggDw(4, 3, legacy=True),
    "shvit": lambda: Residual(Conv2dNorm(4, 4, 3, 1, 1, groups=4)),
    "efficientvim": lambda: EfficientViMBlock(4, state_dim=4),
}


@pytest.mark.parametrize("name", TIMM)
def test_kernels_of_timm_are_those_that_it_merges(name):
    block = randomize(TIMM[name]())
    plans = plans_of(stored_tensors(block.state_dict()))
    ours = {plan.layer.path: effective(plan) for plan in plans}
    block.double()
    merged = block.reparameterize() if hasattr(block, "reparameterize") else block.fuse()
    theirs = [
        part for part in (merged or block).modules() if isinstance(part, nn.Conv2d) and part.kernel_size != (1, 1)
    ]
    assert ours
    for weight, bias in ours.values():
        assert any(
            part.weight.shape == weight.shape
            and largest_error(weight, part.weight.detach()) < 1e-6
            and largest_error(bias, part.bias.detach()) < 1e-6
            for part in theirs
        )


def test_branches_are_terms_and_the_rest_is_what_is_no_layer_of_its_own():
    recipe = plans_of(stored_tensors(randomize(mobileone()).state_dict()))[0].read()
    assert [term.layer.tensor for term in recipe.terms] == [f"rbr_conv.{i}.conv.weight" for i in range(11)]
    assert recipe.rest.shape == (4, 1, 1, 1)
    assert all(term.scale.shape == (4, 1, 1, 1) and term.shift is None for term in recipe.terms)


def test_dilated_branches_keep_their_own_kernels():
    recipe = plans_of(stored_tensors(randomize(UniRepLKNetBlock()).state_dict()))[0].read()
    assert {term.layer.tensor: term.dilation for term in recipe.terms} == {
        "dwconv.lk_origin.weight": None,
        "dwconv.dil_conv_k5_1.weight": None,
        **{f"dwconv.dil_conv_k{k}_{d}.weight": (d, d) for k, d in ((7, 2), (3, 3), (3, 4), (3, 5))},
    }
    assert recipe.norm.path == "norm"


@pytest.mark.parametrize(
    "broken",
    [
        {"rbr_1x1.bn.running_var": None},  # a number is missing
        {"rbr_identity.running_mean": torch.zeros(6)},  # a size disagrees
        {"rbr_identity.running_mean": None},
        {"rbr_1x1.conv.weight": torch.zeros(4, 2, 1, 1)},
        {"rbr_dense.conv.weight": torch.zeros(4, 4, 4, 4)},  # no center
    ],
)
def test_what_does_not_fit_is_not_merged(broken):
    state = {**randomize(repvgg("rbr_dense", "rbr_1x1", "rbr_identity", ("conv", "bn"))).state_dict(), **broken}
    plans = plans_of(stored_tensors({key: tensor for key, tensor in state.items() if tensor is not None}))
    assert all(plan.block is None for plan in plans)


def test_convolutions_one_after_the_other_are_no_branches():
    state = named(stem=named(conv1=conv_bn(4, 4, 3), conv2=conv_bn(4, 4, 1))).state_dict()
    assert [plan.block for plan in plans_of(stored_tensors(state))] == [None]
