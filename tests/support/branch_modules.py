"""Blocks of parallel branches as their authors define them, with the names of their checkpoints."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn


def named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


def conv_bn(size_in: int, size_out: int, kernel: Any, *, groups: int = 1, names: tuple[str, str] = ("conv", "bn")):
    padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    conv = nn.Conv2d(size_in, size_out, kernel, padding=padding, groups=groups, bias=False)
    return named(**{names[0]: conv, names[1]: nn.BatchNorm2d(size_out)})


class Sum(nn.Module):
    """The sum of children, a list of which counts as several."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [part for child in self.children() for part in (child if isinstance(child, nn.ModuleList) else [child])]
        return sum((part(x) for part in parts), torch.zeros(()))


def repvgg(dense: str, point: str, identity: str, names: tuple[str, str], *, groups: int = 1) -> nn.Module:
    return Sum(
        **{
            dense: conv_bn(4, 4, 3, names=names, groups=groups),
            point: conv_bn(4, 4, 1, names=names, groups=groups),
            identity: nn.BatchNorm2d(4),
        }
    )


def mobileone() -> nn.Module:
    convolutions = nn.ModuleList(conv_bn(4, 4, 3, groups=4) for _ in range(11))
    return Sum(rbr_skip=nn.BatchNorm2d(4), rbr_conv=convolutions, rbr_scale=conv_bn(4, 4, 1, groups=4))


class AcBlock(nn.Module):
    """ACNet: a square kernel, a column and a row."""

    def __init__(self) -> None:
        super().__init__()
        for name, kernel in (("square", (3, 3)), ("ver", (3, 1)), ("hor", (1, 3))):
            padding = tuple(k // 2 for k in kernel)
            self.add_module(f"{name}_conv", nn.Conv2d(4, 6, kernel, padding=padding, bias=False))
            self.add_module(f"{name}_bn", nn.BatchNorm2d(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sum(
            (getattr(self, f"{name}_bn")(getattr(self, f"{name}_conv")(x)) for name in ("square", "ver", "hor")),
            torch.zeros(()),
        )


class DilatedReparamBlock(nn.Module):
    """UniRepLKNet: a large kernel, and small ones whose taps lie apart."""

    def __init__(self) -> None:
        super().__init__()
        self.lk_origin = nn.Conv2d(4, 4, 13, padding=6, groups=4, bias=False)
        self.origin_bn = nn.BatchNorm2d(4)
        self.sizes = ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5))
        for size, dilation in self.sizes:
            padding = dilation * (size - 1) // 2
            conv = nn.Conv2d(4, 4, size, padding=padding, dilation=dilation, groups=4, bias=False)
            self.add_module(f"dil_conv_k{size}_{dilation}", conv)
            self.add_module(f"dil_bn_k{size}_{dilation}", nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.origin_bn(self.lk_origin(x))
        for size, dilation in self.sizes:
            conv, norm = (getattr(self, f"dil_{kind}_k{size}_{dilation}") for kind in ("conv", "bn"))
            out = out + norm(conv(x))
        return out


class UniRepLKNetBlock(nn.Module):
    """UniRepLKNet: the normalization of the sum stands beside the branches."""

    def __init__(self) -> None:
        super().__init__()
        self.dwconv = DilatedReparamBlock()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.dwconv(x))


class BNAndPadLayer(nn.Module):
    """DBB: pads with what the normalization makes of zeros."""

    def __init__(self, pad: int, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.pad = pad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros(1, x.shape[1], 1, 1, dtype=x.dtype)
        value, p = self.bn(zeros), self.pad
        out = value.expand(len(x), -1, x.shape[2] + 2 * p, x.shape[3] + 2 * p).clone()
        out[..., p:-p, p:-p] = self.bn(x)
        return out


class IdentityBasedConv1x1(nn.Module):
    """DBB: a pointwise convolution that stores the difference from the identity."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, groups=groups, bias=False)
        identity = torch.zeros(channels, channels // groups, 1, 1)
        identity[range(channels), [i % (channels // groups) for i in range(channels)]] = 1
        self.identity, self.groups = identity, groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.conv.weight + self.identity.to(x.dtype), groups=self.groups)


def diverse_branch_block(size_in: int, size_out: int, *, groups: int = 1, middle: int | None = None) -> nn.Module:
    """Return a block of DBB; `middle` channels between the convolutions of a branch, None for those of the input."""
    if groups < size_out:
        pointwise = nn.Conv2d(size_in, size_out, 1, groups=groups, bias=False)
        average = named(
            conv=pointwise,
            bn=BNAndPadLayer(1, size_out),
            avg=nn.AvgPool2d(3, stride=1),
            avgbn=nn.BatchNorm2d(size_out),
        )
    else:
        average = named(avg=nn.AvgPool2d(3, stride=1, padding=1), avgbn=nn.BatchNorm2d(size_out))
    first: nn.Module = IdentityBasedConv1x1(size_in, groups)
    if middle is not None:
        first = nn.Conv2d(size_in, middle, 1, groups=groups, bias=False)
    middle_size = middle or size_in
    sequence = named(
        **{"conv1" if middle is not None else "idconv1": first},
        bn1=BNAndPadLayer(1, middle_size),
        conv2=nn.Conv2d(middle_size, size_out, 3, groups=groups, bias=False),
        bn2=nn.BatchNorm2d(size_out),
    )
    branches = {"dbb_origin": conv_bn(size_in, size_out, 3, groups=groups), "dbb_avg": average}
    if groups < size_out:
        branches["dbb_1x1"] = conv_bn(size_in, size_out, 1, groups=groups)
    return Sum(**branches, dbb_1x1_kxk=sequence)
