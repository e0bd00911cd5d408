"""The normalization that alone takes the output of a convolution, from the graph of a running network."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from filtercrawl.api.convolution import FollowingNorm
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.architecture import match_tensors, on_meta, trace
from support.effective_networks import stored_tensors

IMAGE = (torch.empty(1, 4, 16, 16, device="meta"),)


class Network(nn.Module):
    def __init__(self, norm=None):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, bias=False)
        self.norm = norm if norm is not None else nn.BatchNorm2d(4, eps=1e-3)
        self.other = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x))


class UsedTwice(Network):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class ActivatedFirst(Network):
    def forward(self, x):
        return self.norm(torch.relu(self.conv(x)))


class Returned(Network):
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y), {"raw": y}


class SharedConvolution(Network):
    def forward(self, x):
        return self.norm(self.conv(x)), self.other(self.conv(x))


class Before(Network):
    def forward(self, x):
        return self.conv(self.norm(x))


class OfTheSum(Network):
    def forward(self, x):
        return self.norm(self.conv(x) + x[..., 1:-1, 1:-1])


class Scaled(Network):
    def forward(self, x):
        return nn.functional.batch_norm(
            self.conv(x), self.norm.running_mean, self.norm.running_var, self.norm.weight * 2, self.norm.bias
        )


class TwoConvolutions(Network):
    def __init__(self):
        super().__init__()
        self.second = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.norm(self.second(self.norm(self.conv(x))))


def norm_of(module, name="conv.weight"):
    structure = trace(module, IMAGE)
    assert structure.problem is None
    return structure.facts[name].norm


def all_of(path):
    return FollowingNorm(
        path=path,
        scale=f"{path}.weight",
        offset=f"{path}.bias",
        mean=f"{path}.running_mean",
        variance=f"{path}.running_var",
    )


@pytest.mark.parametrize("norm", [None, FrozenBatchNorm2d(4), nn.SyncBatchNorm(4)])
def test_a_norm_that_alone_takes_the_output_follows(norm):
    assert norm_of(Network(norm).eval()) == all_of("norm")


def test_a_norm_without_weight_and_bias_has_none():
    found = norm_of(Network(nn.BatchNorm2d(4, affine=False)))
    assert found == FollowingNorm(path="norm", mean="norm.running_mean", variance="norm.running_var")


@pytest.mark.parametrize("kind", [UsedTwice, ActivatedFirst, Returned, SharedConvolution, Before, OfTheSum, Scaled])
def test_no_norm_follows_where_folding_would_be_another_function(kind):
    assert norm_of(kind()) is None


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(4, track_running_stats=False), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)]
)
def test_a_norm_by_the_statistics_of_its_input_cannot_be_folded(norm):
    assert norm_of(Network(norm)) is None


def test_one_norm_may_follow_two_convolutions():
    assert norm_of(TwoConvolutions()) == norm_of(TwoConvolutions(), "second.weight") == all_of("norm")


def test_a_network_that_normalizes_first_has_the_norm_of_the_next_convolution():
    structure = trace(on_meta(lambda: timm.create_model("densenet121")))
    layer = "features.denseblock1.denselayer1"
    assert structure.facts[f"{layer}.conv1.weight"].norm == all_of(f"{layer}.norm2")
    assert structure.facts[f"{layer}.conv2.weight"].norm is None  # it is concatenated


def matched(module: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, StoredTensor]:
    found = match_tensors(trace(module, IMAGE), stored_tensors(state))
    return {tensor.name: tensor for tensor in found.tensors}


def test_a_checkpoint_gets_the_names_that_it_stores_the_norm_under():
    state = {f"backbone.{name}": tensor for name, tensor in Network().state_dict().items()}
    tensors = matched(Network(), state)
    conv = tensors["backbone.conv.weight"]
    assert conv.norm is not None
    assert conv.norm.variance == "backbone.norm.running_var"
    assert conv.bn_folded is False
    assert tensors["backbone.norm.running_var"].eps == 1e-3


def test_a_bias_in_the_place_of_a_norm_shows_that_it_is_folded():
    weight = {"conv.weight": torch.zeros(4, 4, 3, 3)}
    folded = matched(Network(), {**weight, "conv.bias": torch.zeros(4)})["conv.weight"]
    assert (folded.bn_folded, folded.norm) == (True, FollowingNorm(path="norm"))
    unknown = matched(Network(), weight)["conv.weight"]
    assert unknown.bn_folded is None


def test_a_part_of_a_norm_shows_nothing():
    state = {name: tensor for name, tensor in Network().state_dict().items() if not name.endswith("running_var")}
    conv = matched(Network(), {**state, "conv.bias": torch.zeros(4)})["conv.weight"]
    assert (conv.bn_folded, conv.norm) == (None, FollowingNorm(path="norm"))
