"""The networks of the ranges benchmark: real architectures with random weights, and a U-Net of 1.7 GB."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import timm
import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn

from filtercrawl.extraction.architecture import on_meta

# Stable Diffusion 1.5: channels of its four levels, residual blocks a level, features of the text and of the time.
_CHANNELS: Final = (320, 640, 1280, 1280)
_BLOCKS: Final = 2
_TEXT: Final = 768
_TIME: Final = 1280
UNET_PARAMETERS: Final = 859_520_964

Shapes = Iterator[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A state dict in the order of its network. groups: those of each convolution, by the name of its weight."""

    name: str
    state: Mapping[str, torch.Tensor]
    groups: Mapping[str, int]

    @property
    def kernels(self) -> tuple[str, ...]:
        """The weights of more than one tap."""
        return tuple(name for name in self.groups if math.prod(self.state[name].shape[2:]) > 1)


def build(name: str) -> Model:
    """Make a model; the same numbers each time."""
    if name == "unet":
        shapes = dict(unet())
        assert sum(map(math.prod, shapes.values())) == UNET_PARAMETERS
        groups = {key: 1 for key, shape in shapes.items() if len(shape) == 4}
        return Model(name=name, state=_random(shapes, torch.float16), groups=groups)
    module = on_meta(_NETWORKS[name])
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items() if value.dtype == torch.float32}
    counters = {key: torch.zeros((), dtype=torch.int64) for key in module.state_dict() if key not in shapes}
    state = _random(shapes, torch.float32) | counters
    groups = {f"{path}.weight": part.groups for path, part in module.named_modules() if isinstance(part, nn.Conv2d)}
    return Model(name=name, state={key: state[key] for key in module.state_dict()}, groups=groups)


def _random(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    # Random to the last number, norms and biases too: a tensor's bytes can then be found in a file.
    chance = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=chance).mul_(0.02).to(dtype) for name, shape in shapes.items()}


def unet() -> Shapes:
    """Yield the names, as diffusers has them, and shapes of the U-Net of Stable Diffusion 1.5."""
    yield from _convolution("conv_in", 4, _CHANNELS[0], 3)
    yield from _linear("time_embedding.linear_1", _CHANNELS[0], _TIME)
    yield from _linear("time_embedding.linear_2", _TIME, _TIME)
    before = _CHANNELS[0]
    for level, width in enumerate(_CHANNELS):
        path, last = f"down_blocks.{level}", level == len(_CHANNELS) - 1
        yield from _level(path, [before, *[width] * (_BLOCKS - 1)], width, attends=not last)
        if not last:
            yield from _convolution(f"{path}.downsamplers.0.conv", width, width, 3)
        before = width
    for level, width in enumerate(reversed(_CHANNELS)):
        path, last = f"up_blocks.{level}", level == len(_CHANNELS) - 1
        skipped = _CHANNELS[max(len(_CHANNELS) - 2 - level, 0)]
        widths = [before + width, *[2 * width] * (_BLOCKS - 1), width + skipped]
        yield from _level(path, widths, width, attends=level > 0)
        if not last:
            yield from _convolution(f"{path}.upsamplers.0.conv", width, width, 3)
        before = width
    yield from _level("mid_block", [_CHANNELS[-1]] * 2, _CHANNELS[-1], attends=True, attentions=1)
    yield from _pair("conv_norm_out", _CHANNELS[0])
    yield from _convolution("conv_out", _CHANNELS[0], 4, 3)


def _level(path: str, into: list[int], width: int, *, attends: bool, attentions: int | None = None) -> Shapes:
    """The blocks of one level; into: the channels that come into each."""
    if attends:
        for i in range(len(into) if attentions is None else attentions):
            yield from _attention(f"{path}.attentions.{i}", width)
    for i, channels in enumerate(into):
        yield from _residual(f"{path}.resnets.{i}", channels, width)


def _residual(path: str, into: int, width: int) -> Shapes:
    yield from _pair(f"{path}.norm1", into)
    yield from _convolution(f"{path}.conv1", into, width, 3)
    yield from _linear(f"{path}.time_emb_proj", _TIME, width)
    yield from _pair(f"{path}.norm2", width)
    yield from _convolution(f"{path}.conv2", width, width, 3)
    if into != width:
        yield from _convolution(f"{path}.conv_shortcut", into, width, 1)


def _attention(path: str, width: int) -> Shapes:
    yield from _pair(f"{path}.norm", width)
    yield from _convolution(f"{path}.proj_in", width, width, 1)
    block = f"{path}.transformer_blocks.0"
    for number, source in ((1, width), (2, _TEXT)):
        yield from _pair(f"{block}.norm{number}", width)
        yield f"{block}.attn{number}.to_q.weight", (width, width)
        yield f"{block}.attn{number}.to_k.weight", (width, source)
        yield f"{block}.attn{number}.to_v.weight", (width, source)
        yield from _linear(f"{block}.attn{number}.to_out.0", width, width)
    yield from _pair(f"{block}.norm3", width)
    yield from _linear(f"{block}.ff.net.0.proj", width, 8 * width)  # twice 4: a gated unit
    yield from _linear(f"{block}.ff.net.2", 4 * width, width)
    yield from _convolution(f"{path}.proj_out", width, width, 1)


def _convolution(path: str, into: int, out: int, size: int) -> Shapes:
    yield f"{path}.weight", (out, into, size, size)
    yield f"{path}.bias", (out,)


def _linear(path: str, into: int, out: int) -> Shapes:
    yield f"{path}.weight", (out, into)
    yield f"{path}.bias", (out,)


def _pair(path: str, width: int) -> Shapes:
    yield f"{path}.weight", (width,)
    yield f"{path}.bias", (width,)


_NETWORKS: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "resnet18": lambda: torchvision.models.resnet18(weights=None),
    "vit_base_patch16_224": lambda: timm.create_model("vit_base_patch16_224"),
    "efficientnet_b0": lambda: timm.create_model("efficientnet_b0"),
    "convnext_tiny": lambda: timm.create_model("convnext_tiny"),
}
MODELS: Final = (*_NETWORKS, "unet")
