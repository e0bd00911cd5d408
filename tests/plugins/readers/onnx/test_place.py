"""The part that a convolution has in its network: the same by an ONNX graph as by the network that it was made of."""

from __future__ import annotations

import io
import warnings

import onnx
import pytest
import torch
from torch import nn

from filtercrawl.api.convolution import Place
from filtercrawl.extraction.architecture import trace
from support.onnx_models import read


class Residual(nn.Module):
    """A stem, pooling, a residual block with a gate, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, stride=2, padding=3)
        self.stem2 = nn.Conv2d(8, 8, 3, padding=1)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.stem2(self.stem(x)).relu(), 2)
        y = self.b(self.a(x).relu())
        y = y * self.gate(nn.functional.adaptive_avg_pool2d(y, 1)).sigmoid()
        return self.head((x + y).mean((2, 3)))


class Separable(nn.Module):
    """Depthwise and pointwise convolutions, upsampled at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.point = nn.Conv2d(8, 16, 1)
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)
        self.last = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.up(self.point(self.deep(self.stem(x)).relu())))


class Dense(nn.Module):
    """A plain chain whose classifier is a convolution over the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.dense = nn.Conv2d(8, 32, 8)
        self.logits = nn.Conv2d(32, 10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.first(x).relu(), 2)
        x = nn.functional.max_pool2d(self.second(x).relu(), 2)
        return self.logits(self.dense(x).relu()).flatten(1)


def exported(module: nn.Module) -> dict[str, Place | None]:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.randn(1, 3, 32, 32),), buffer, dynamo=False)
    found = read(onnx.load_from_string(buffer.getvalue()))
    return {tensor.name: tensor.depth.place for tensor in found.values() if tensor.depth is not None}


def traced(module: nn.Module) -> dict[str, Place | None]:
    structure = trace(module, (torch.empty(1, 3, 32, 32, device="meta"),))
    return {name: facts.depth.place for name, facts, _ in structure.convolutions() if facts.depth is not None}


@pytest.mark.parametrize("network", [Residual, Separable])
def test_places_are_those_of_the_network(network: type[nn.Module]) -> None:
    module = network().eval()
    expected = traced(module)
    assert any(place is not None and place.is_last_spatial for place in expected.values())
    assert exported(module) == expected


def test_what_depends_on_the_size_of_the_map_is_unknown() -> None:
    """A convolution without padding may cover the whole map: then the one before it is the last spatial one."""
    module = Dense().eval()
    found, expected = exported(module), traced(module)
    last = {name: place and place.is_last_spatial for name, place in expected.items()}
    assert last == {"first.weight": False, "second.weight": True, "dense.weight": False, "logits.weight": False}
    assert {name: place and place.is_last_spatial for name, place in found.items()} == {
        "first.weight": False,
        "second.weight": None,
        "dense.weight": None,
        "logits.weight": False,
    }
    assert all(place is not None and place.is_stem == expected[name].is_stem for name, place in found.items())
