"""The normalization that follows a convolution by names, sizes and order, held against the graph of real networks."""

from __future__ import annotations

import pytest
import timm
import torch

from filtercrawl.extraction.architecture import on_meta, trace
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective.norm_names import norms_by_name
from filtercrawl.extraction.effective.stored_norm import StoredModules
from support.effective_networks import stored_tensors

WIDTHS = ((4, 8), (8, 6))


def pairs(state: dict[str, torch.Tensor], *, in_order: bool = True) -> dict[str, str]:
    tensors = stored_tensors(state if in_order else dict(sorted(state.items())))
    found = norms_by_name(classify_tensors(tensors).layers, StoredModules(tensors))
    return {path: norm.path for (_, path), norm in found.items()}


def conv(name, size_in, size_out, kernel=3):
    return {f"{name}.weight": torch.zeros(size_out, size_in, kernel, kernel)}


def norm(name, size):
    return {f"{name}.{leaf}": torch.zeros(size) for leaf in ("weight", "bias", "running_mean", "running_var")}


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize(
    ("first", "second"),
    [("conv1", "bn1"), ("conv", "bn"), ("conv", "norm"), ("conv_dw", "bn_dw"), ("dwconv2", "dwbn2"), ("c", "bn")],
)
def test_equal_names(first, second, in_order):
    state = {}
    for i, (size_in, size_out) in enumerate(WIDTHS):
        state |= {**conv(f"{i}.{first}", size_in, size_out), **norm(f"{i}.{second}", size_out)}
    assert pairs(state, in_order=in_order) == {f"{i}.{first}": f"{i}.{second}" for i in range(2)}


@pytest.mark.parametrize("in_order", [True, False])
def test_places_of_a_sequential(in_order):
    state = {**conv("features.0", 3, 8), **norm("features.1", 8), **conv("features.3", 8, 8), **norm("features.4", 8)}
    state |= {**conv("features.6", 8, 8), **norm("features.8", 8)}  # there is an activation between these two
    expected = {"features.0": "features.1", "features.3": "features.4"}
    assert pairs(state, in_order=in_order) == expected


def test_names_that_only_the_order_tells():
    state = {**conv("b.conv_pw", 4, 8, 1), **norm("b.bn1", 8), **conv("b.conv_dw", 1, 8), **norm("b.bn2", 8)}
    assert pairs(state) == {"b.conv_pw": "b.bn1", "b.conv_dw": "b.bn2"}
    assert pairs(state, in_order=False) == {}


def test_norms_before_convolutions_are_not_paired_by_their_names():
    state = {}
    for i, (size_in, size_out) in enumerate(WIDTHS):
        block = f"blocks.{i}."
        state |= {**norm(f"{block}bn1", size_in), **conv(f"{block}conv1", size_in, size_out)}
        state |= {**norm(f"{block}bn2", size_out), **conv(f"{block}conv2", size_out, size_out)}
    assert pairs(state) == {"blocks.0.conv1": "blocks.0.bn2", "blocks.1.conv1": "blocks.1.bn2"}
    assert pairs(state, in_order=False) == {}


def test_sizes_that_tell_nothing_and_an_order_that_is_lost_are_ambiguous():
    state = {**conv("conv1", 8, 8), **norm("bn1", 8)}
    assert pairs(state) == {"conv1": "bn1"}
    assert pairs(state, in_order=False) == {}


@pytest.mark.parametrize(
    "state",
    [
        {**conv("conv", 4, 8), **norm("bn", 6)},  # sizes disagree
        {**conv("conv", 4, 8), "bn.weight": torch.zeros(8), "bn.bias": torch.zeros(8)},  # no statistics
        {**conv("up.deconv", 4, 4, 4), **norm("up.bn", 4)},  # which axis is the output is not known
        {**conv("up.0", 4, 4, 2), **norm("up.1", 4)},
        {**conv("conv", 4, 8), **norm("bn", 8), **norm("norm", 8)},  # two may follow
        {**conv("mp.conv1", 8, 8), **norm("mp.bn", 8)},  # often after the activation, or of a sum
    ],
)
def test_rather_none_than_a_wrong_one(state):
    assert pairs(state) == {}


def test_two_convolutions_do_not_share_a_norm():
    state = {**conv("conv1", 4, 8), **norm("norm1", 8), **conv("c", 4, 8), **norm("bn", 8)}
    assert pairs(state) == {"conv1": "norm1", "c": "bn"}
    shared = {**conv("conv", 4, 8), **conv("c", 4, 8), **norm("bn", 8)}
    assert pairs(shared) == {}


@pytest.mark.exhaustive
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("name", ["test_resnet", "test_byobnet", "test_efficientnet", "repvit_m0_9", "shvit_s1"])
def test_real_networks_have_no_wrong_pair(name, in_order):
    module = on_meta(lambda: timm.create_model(name))
    structure = trace(module)
    graph = {facts.layer: facts.norm.path for _, facts, _ in structure.convolutions() if facts.norm is not None}
    state = {key: torch.zeros(tensor.shape, dtype=tensor.dtype) for key, tensor in module.state_dict().items()}
    found = pairs(state, in_order=in_order)
    assert found.items() <= graph.items()
    assert not in_order or len(found) > 0.9 * len(graph)
