"""Which layers have a recipe, what making it reads, and from which tensors of a checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.architecture import match_tensors, trace
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective import LayerKey, effective_weight
from filtercrawl.extraction.effective.plan import bn_folded, plan_recipes
from filtercrawl.extraction.to_float32 import to_float32
from support.branch_modules import diverse_branch_block, mobileone, named
from support.effective_networks import effective, largest_error, plans_of, randomize, stored_tensors

IMAGE = (torch.empty(1, 4, 16, 16, device="meta"),)


class Normalized(nn.Module):
    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn = conv, nn.BatchNorm2d(conv.out_channels, eps=1e-2)

    def forward(self, x):
        return self.bn(self.conv(x))


@pytest.mark.parametrize(
    "conv", [nn.ConvTranspose2d(4, 6, 4, groups=2), nn.ConvTranspose2d(4, 4, 2), nn.Conv2d(4, 6, 3, groups=2)]
)
def test_a_built_network_tells_epsilon_and_axis(conv):
    module = randomize(Normalized(conv))
    (plan,) = plans_of(stored_tensors(module.state_dict()), trace(module, IMAGE))
    weight, bias = (tensor.double() for tensor in effective(plan))
    image = torch.randn(1, 4, 9, 9, dtype=torch.float64)
    if conv.transposed:
        weight = torch.cat([group.transpose(0, 1) for group in weight.chunk(conv.groups)])
        ours = nn.functional.conv_transpose2d(image, weight, bias, groups=conv.groups)
    else:
        ours = nn.functional.conv2d(image, weight, bias, groups=conv.groups)
    with torch.no_grad():
        assert largest_error(ours, module.double()(image)) < 1e-6
    recipe = plan.read()
    assert (recipe.norm.evidence, recipe.norm.eps, recipe.eps_assumed) == ("graph", 1e-2, False)
    assert recipe.steps == ("batch_norm",)


def test_a_state_dict_tells_no_epsilon():
    module = randomize(Normalized(nn.Conv2d(4, 6, 3)))
    recipe = plans_of(stored_tensors(module.state_dict()))[0].read()
    assert (recipe.norm.evidence, recipe.norm.eps, recipe.eps_assumed) == ("names", None, True)


def test_names_say_nothing_where_the_graph_shows_another_use():
    class Summed(Normalized):
        def forward(self, x):
            return self.bn(self.conv(x) + x[:, :, 1:-1, 1:-1])

    module = Summed(nn.Conv2d(4, 4, 3))
    tensors = stored_tensors(module.state_dict())
    assert len(plans_of(tensors)) == 1
    assert plans_of(tensors, trace(module, IMAGE)) == ()


def test_averages_are_normalized_by_their_own_statistics():
    raw, average = (randomize(Normalized(nn.Conv2d(4, 6, 3)), seed) for seed in (0, 1))
    tensors = [
        replace(tensor, name=f"{root}.{tensor.name}", root=(root,))
        for root, module in (("state_dict", raw), ("model_ema", average))
        for tensor in stored_tensors(module.state_dict())
    ]
    (plan,) = plan_recipes(classify_tensors(tensors).layers, tensors)
    assert plan.layer.tensor.name == "model_ema.conv.weight"
    assert largest_error(effective(plan)[0], effective(plans_of(stored_tensors(average.state_dict()))[0])[0]) == 0


@pytest.mark.parametrize("variance", [-1.0, float("nan"), float("inf")])
def test_statistics_that_give_no_number_give_no_recipe(variance):
    state = Normalized(nn.Conv2d(4, 6, 3)).state_dict()
    state["bn.running_var"][2] = variance
    (plan,) = plans_of(stored_tensors(state))
    assert (plan.read() is None) == (variance != float("inf"))


@pytest.mark.parametrize("make", [mobileone, lambda: diverse_branch_block(4, 6, groups=2, middle=8)])
def test_the_result_is_the_same_for_any_policy(make):
    tensors = stored_tensors(randomize(make()).state_dict())
    results = []
    for policy in ("spatial", "all"):
        classified = classify_tensors(tensors, policy)
        plans = {plan.layer.path: plan for plan in plan_recipes(classified.layers, tensors)}
        raw = {
            LayerKey(layer.tensor.name): to_float32(layer, 0, layer.out_channels, torch.device("cpu")).numpy()
            for layer in classified.emitted
        }
        (plan,) = plans.values()
        results.append(effective_weight(plan.read(), raw))
    np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-6)


class Watched:
    """A file that records where it is read."""

    def __init__(self, file):
        self.file, self.name, self.size, self.ranges = file, file.name, file.size, []

    def read(self, offset, length):
        self.ranges.append((offset, offset + length))
        return self.file.read(offset, length)


@pytest.mark.parametrize(
    "make",
    [
        mobileone,
        lambda: diverse_branch_block(4, 6),
        lambda: Normalized(nn.Conv2d(4, 6, 3)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
    ],
)
def test_a_recipe_reads_what_it_said_and_weights_that_are_emitted(make):
    tensors: list[StoredTensor] = []
    for tensor in stored_tensors(randomize(make()).state_dict()):
        file = Watched(tensor.location.file)
        tensors.append(replace(tensor, location=replace(tensor.location, file=file)))
    classified = classify_tensors(tensors)
    (plan,) = plan_recipes(classified.layers, tensors)
    announced = {id(span.file) for span in plan.spans()}
    assert plan.read() is not None
    emitted = {id(layer.tensor.location.file) for layer in classified.emitted}
    read = {id(tensor.location.file) for tensor in tensors if tensor.location.file.ranges}
    assert announced <= read <= announced | emitted


def test_a_folded_norm_is_known_by_the_graph_and_not_by_names():
    module = Normalized(nn.Conv2d(4, 6, 3, bias=False))
    state = {"conv.weight": torch.zeros(6, 4, 3, 3), "conv.bias": torch.zeros(6)}
    for built, expected in ((trace(module, IMAGE), True), (None, None)):
        tensors = stored_tensors(state)
        assert plans_of(tensors, built) == ()
        matched = tensors if built is None else match_tensors(built, tensors).tensors
        (layer,) = classify_tensors(matched).layers
        assert bn_folded(layer, None) is expected


def test_many_modules_take_little_time():
    state = {}
    for i in range(300):
        block = named(conv=nn.Conv2d(2, 2, 3), bn=nn.BatchNorm2d(2), rbr_dense=named(conv=nn.Conv2d(2, 2, 3)))
        state |= {f"blocks.{i}.{key}": tensor for key, tensor in block.state_dict().items()}
    assert len(plans_of(stored_tensors(state))) == 300
