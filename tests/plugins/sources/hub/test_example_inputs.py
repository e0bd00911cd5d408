"""Inputs are proposed from the signature of a network and its config."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from filtercrawl.extraction.architecture import on_meta, trace
from filtercrawl_plugins.sources.hub.example_inputs import Network, constant, meta, proposals, variants
from filtercrawl_plugins.sources.hub.video_sessions import sessions

RULES = {
    "ids": constant(torch.ones(1, 4, dtype=torch.long)),
    "pixel_values": lambda network: [
        meta(1, network.number("num_channels"), side, side) for side in (network.number("image_size"), 8)
    ],
    "huge": constant(meta(1, 1 << 30)),
}


class Model(nn.Module):
    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = config


class Vision(Model):
    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.conv = nn.Conv2d(3, 4, 8)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.conv(pixel_values)


class Chat(Model):
    def __init__(self) -> None:
        super().__init__(vision_config={"num_channels": 3, "image_size": 16})
        self.vision = Vision(num_channels=3, image_size=16)
        self.other = Vision(num_channels=3, image_size=16)

    def forward(self, ids: torch.Tensor, pixel_values: torch.Tensor | None = None, flag: bool = True) -> torch.Tensor:
        raise ValueError("as many tokens as features are expected")


def shapes(arguments: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in arguments.items()}


def test_optional_parameters_are_given_if_they_are_named() -> None:
    network = Network(Chat())
    assert [shapes(given) for given in variants(network, RULES, frozenset())] == [{"ids": (1, 4)}]
    assert [shapes(given) for given in variants(network, RULES, frozenset({"pixel_values"}))] == [
        {"ids": (1, 4), "pixel_values": (1, 3, 16, 16)},
        {"ids": (1, 4), "pixel_values": (1, 3, 8, 8)},
    ]


def test_nothing_is_proposed_for_an_unknown_parameter() -> None:
    assert list(variants(Network(Chat()), {"pixel_values": RULES["pixel_values"]}, frozenset())) == []


def test_inputs_that_are_too_large_are_left_out() -> None:
    class Huge(Model):
        def forward(self, huge: torch.Tensor) -> None: ...

    assert list(variants(Network(Huge()), RULES, frozenset())) == []


def test_models_with_all_convolutions_are_called_where_the_whole_cannot() -> None:
    module = on_meta(Chat)
    given = proposals(module, RULES, frozenset({"pixel_values"}), Model)
    assert [list(calls) for calls in given] == [[""]] * 2 + [["vision", "other"]] * 4
    structure = trace(module, given)
    assert structure.problem is None
    depths = [facts.depth for _, facts, _ in structure.convolutions()]
    assert [depth and (depth.conv_depth, depth.is_first, depth.is_last) for depth in depths] == [(0, True, True)] * 2


def test_models_are_not_called_if_a_convolution_lies_outside() -> None:
    module = Chat()
    module.mixer = nn.Conv1d(4, 4, 3)
    assert [list(calls) for calls in proposals(module, RULES, frozenset(), Model)] == [[""]]


class Encoder(Model):
    def __init__(self) -> None:
        super().__init__(width=4)
        self.conv = nn.Conv1d(4, 4, 3)

    def forward(self, inner: torch.Tensor) -> torch.Tensor:
        return self.conv(inner)


def test_the_only_model_with_convolutions_is_called_whatever_it_takes() -> None:
    rules = {**RULES, "inner": constant(meta(1, 4, 8))}
    module = on_meta(Chat)
    module.vision = Encoder()
    assert [list(calls) for calls in proposals(module, rules, frozenset(), Model)] == [[""]]
    del module.other
    assert [list(calls) for calls in proposals(module, rules, frozenset(), Model)] == [[""], ["vision"]]


def test_a_network_that_can_work_in_tiles_is_then_called_so() -> None:
    class Tiled(Vision):
        use_tiling = False

        def enable_tiling(self) -> None: ...

    module = Tiled(num_channels=3, image_size=8)
    assert [list(calls) for calls in proposals(module, RULES, frozenset(), Model)] == [[""], ["enable_tiling", ""]]


class Session:
    """Has the attributes of sessions in transformers."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.points: list[tuple[int, int]] = []
        self.obj_with_new_inputs: list[int] = []

    def obj_id_to_idx(self, obj_id: int) -> int:
        return obj_id - 1

    def add_point_inputs(self, obj_idx: int, frame_idx: int, inputs: dict[str, torch.Tensor]) -> None:
        assert inputs["point_coords"].shape[:-1] == inputs["point_labels"].shape
        self.points.append((obj_idx, frame_idx))


def test_a_session_has_an_object_to_track() -> None:
    class Tracker(Model):
        def forward(self, inference_session: Session) -> None: ...

    class Unknown(Model):
        def forward(self, inference_session: object) -> None: ...

    Tracker.forward.__annotations__["inference_session"] = Session
    (session,) = sessions(Network(Tracker()))
    assert (session.points, session.obj_with_new_inputs) == ([(0, 0)], [1])
    assert sessions(Network(Unknown())) == []


def test_a_setting_is_searched_level_by_level() -> None:
    network = Network(Model(size=None, deep={"size": [7, 9], "deeper": {"width": 3}}, width=5, flag=True))
    assert (network.number("size"), network.number("width"), network.number("flag", default=2)) == (7, 5, 2)
    assert network.value("missing", "size") == [7, 9]
