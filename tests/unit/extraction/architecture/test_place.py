"""The part of a convolution in its network: stem, last spatial one, the pointwise one after a depthwise one."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from filtercrawl.api.convolution import Place
from filtercrawl.extraction.architecture import Structure, on_meta, structure_rows, trace
from filtercrawl.extraction.architecture.depth import CallGraph, DepthState
from filtercrawl.extraction.architecture.place import CallShape, size_reduction

SPATIAL = CallShape(taps=9, groups=1, depthwise=False, covers=False, on_point=False, reduction=1.0)


def traced(module: nn.Module, side: int = 32) -> Structure:
    structure = trace(module, (torch.empty(1, 3, side, side, device="meta"),))
    assert structure.problem is None
    return structure


def names(structure: Structure, column: str) -> list[str]:
    return [row["layer"] for row in structure_rows(structure) if row[column]]


def pairs(structure: Structure) -> dict[str, str | None]:
    """Return the follower of each depthwise convolution."""
    places = {facts.layer: facts.depth.place for _, facts, _ in structure.convolutions() if facts.depth}
    layers = {call: layer for layer, place in places.items() if place for call in place.calls}
    return {
        row["layer"]: layers.get(place.pointwise_follower) if place.pointwise_follower is not None else None
        for row in structure_rows(structure)
        if row["depthwise"] and (place := places[row["layer"]])
    }


@pytest.mark.parametrize(
    ("name", "stem", "patchify", "last"),
    [
        ("resnet18", ["conv1"], [], ["layer4.1.conv2"]),
        ("vgg16", ["features.0", "features.2", "features.5", "features.7"], [], ["features.28"]),
        ("resnet10t", ["conv1.0", "conv1.3", "conv1.6"], [], ["layer4.0.conv2"]),
        ("test_convnext", ["stem.0"], ["stem.0"], ["stages.3.blocks.1.conv_dw"]),
        ("test_vit", ["patch_embed.proj"], ["patch_embed.proj"], ["patch_embed.proj"]),
        ("mobilenetv3_small_050", ["conv_stem"], [], ["blocks.4.2.conv_dw"]),
    ],
)
def test_places_in_known_networks(name: str, stem: list[str], patchify: list[str], last: list[str]) -> None:
    structure = trace(on_meta(lambda: timm.create_model(name)))
    assert names(structure, "is_stem") == stem
    assert names(structure, "is_patchify") == patchify
    assert names(structure, "is_last_spatial") == last


def test_every_depthwise_convolution_of_a_mobile_network_is_half_of_a_separable_pair() -> None:
    found = pairs(trace(on_meta(lambda: timm.create_model("mobilenetv3_small_050"))))
    # The gates of squeeze-and-excitation take its output first, on one point.
    assert found["blocks.0.0.conv_dw"] == "blocks.0.0.conv_pw"
    assert found["blocks.1.0.conv_dw"] == "blocks.1.0.conv_pwl"
    assert len(found) == 11
    assert all(found.values())


class Linear(nn.Module):
    """A fully connected layer over the channels of a map, between a depthwise and a pointwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.dense = nn.Linear(3, 3)
        self.pointwise = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.dense(self.depthwise(x).movedim(1, -1)).movedim(-1, 1))


def test_no_pair_has_a_fully_connected_layer_between() -> None:
    assert pairs(traced(Linear())) == {"depthwise": None}


class Attends(nn.Module):
    """Three strided convolutions, attention over their map, and a convolution after it."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = nn.Sequential(*(nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(4)))
        self.after = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.chain(x)
        tokens = x.flatten(2).mT
        attended = torch.softmax(tokens @ tokens.mT, -1) @ tokens
        return self.after(x + attended.mT.view(x.shape))


def test_a_stem_goes_on_to_attention_and_not_behind_it() -> None:
    structure = traced(Attends())
    assert names(structure, "is_stem") == [f"chain.{i}" for i in range(4)]
    assert names(traced(Attends().chain), "is_stem") == ["0", "1"]


class Positions(nn.Module):
    """A map of positions, made without the input, that is added behind the stem."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Conv2d(2, 4, 3, padding=1)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grid = torch.ones(1, 2, *x.shape[2:], device=x.device)
        return self.after(self.stem(x) + self.positions(grid))


def test_what_is_computed_without_the_input_is_in_no_stem() -> None:
    assert names(traced(Positions()), "is_stem") == ["stem"]


def test_downsampling_is_by_stride_and_no_patches() -> None:
    structure = traced(
        nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=4),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Conv2d(8, 8, 2, stride=2),
            nn.ConvTranspose2d(8, 8, 2, stride=2),
            nn.Conv2d(8, 8, 1, stride=2),
        )
    )
    assert names(structure, "is_patchify") == ["0"]
    assert names(structure, "is_downsampling") == ["2", "4"]
    assert names(structure, "is_last_spatial") == ["3"]


def test_a_fully_connected_layer_on_the_whole_map_is_not_the_last_spatial_convolution() -> None:
    head = [nn.Conv2d(4, 8, 8), nn.ReLU(), nn.Conv2d(8, 5, 1)]
    structure = traced(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *head), side=8)
    assert names(structure, "is_last_spatial") == ["0"]
    assert names(structure, "is_last") == ["3"]


def test_what_is_not_run_has_no_place() -> None:
    structure = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3)), (torch.empty(1, 3, 8, 8, device="meta"),))
    assert structure.problem is not None
    assert {row["is_stem"] for row in structure_rows(structure)} == {None}


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[frozenset[int], CallShape]]:
    """Draw calls in the order of execution: of each, the calls whose results it takes, and its shape."""
    found = []
    for call in range(draw(st.integers(1, 9))):
        inputs = draw(st.frozensets(st.integers(0, call - 1), max_size=3)) if call else frozenset()
        shape = draw(
            st.builds(
                CallShape,
                taps=st.sampled_from([1, 9]),
                groups=st.just(1),
                depthwise=st.booleans(),
                covers=st.booleans(),
                on_point=st.booleans(),
                reduction=st.sampled_from([1.0, 2.0, 4.0]),
            )
        )
        found.append((inputs, shape))
    return found


def placed(graph: list[tuple[frozenset[int], CallShape]]) -> list[Place]:
    calls = CallGraph()
    results: list[DepthState] = []
    for inputs, shape in graph:
        state = DepthState()
        for i in inputs:
            state = state.join(results[i])
        results.append(calls.add(state, shape))
    depths = calls.finish()
    places = [depths.of([call]).place for call in range(len(graph))]
    return [place for place in places if place is not None]


@given(graphs())
def test_places_are_those_of_a_search_over_all_paths(graph: list[tuple[frozenset[int], CallShape]]) -> None:
    def reaches(start: int, ok: Callable[[int], bool]) -> bool:
        after = [call for call, (inputs, _) in enumerate(graph) if start in inputs]
        return any(ok(call) or reaches(call, ok) for call in after)

    def dense(call: int) -> bool:
        shape = graph[call][1]
        if reaches(call, lambda other: not graph[other][1].on_point):
            return False
        behind = shape.on_point and any(dense(i) for i in ancestors(call))
        return (shape.covers and bool(graph[call][0])) or behind

    def ancestors(call: int) -> set[int]:
        return set(graph[call][0]).union(*(ancestors(i) for i in graph[call][0]))

    def spatial(call: int) -> bool:
        return graph[call][1].taps > 1 and not dense(call)

    def stem(call: int) -> bool:
        inputs, shape = graph[call]
        if not inputs:
            return True
        if len(inputs) > 1 or shape.depthwise or shape.on_point or shape.reduction >= 4:
            return False
        (before,) = inputs
        branches = [other for other, (taken, made) in enumerate(graph) if before in taken and not made.on_point]
        return branches == [call] and stem(before)

    for call, place in enumerate(placed(graph)):
        shape = graph[call][1]
        followers = [
            other
            for other, (inputs, made) in enumerate(graph)
            if call in inputs and made.taps == 1 and not made.on_point and not made.depthwise
        ]
        assert place.is_last_spatial == (spatial(call) and not reaches(call, spatial))
        assert place.is_stem == stem(call)
        assert place.pointwise_follower == (followers[0] if followers and shape.depthwise and shape.taps > 1 else None)


def test_a_call_without_a_shape_leaves_every_place_unknown() -> None:
    calls = CallGraph()
    calls.add(calls.add(DepthState(), SPATIAL))
    assert calls.finish().of([0]).place is None


def test_maps_of_other_dimensions_cannot_be_compared() -> None:
    assert size_reduction((32, 16), (8, 8)) == 4
    assert math.isinf(size_reduction((32, 32), (32,)))
