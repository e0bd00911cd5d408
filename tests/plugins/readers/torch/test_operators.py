"""What the class of a module, or its code, proves about a weight that looks like one of a convolution."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.classify import ClassifiedTensors, classify_tensors
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl_plugins.readers.torch.script_calls import calls, weight_uses
from support.torch_files import bits, numbers, read, saved, scripted


class Adder2d(nn.Module):
    """A layer of AdderNet: distances in place of products."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.bias = nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = functional.unfold(x, 3)
        rows = self.weight.view(8, -1)
        return -(columns.unsqueeze(1) - rows.unsqueeze(2)).abs().sum(2)


class RBFLayer(Adder2d):
    """Radial basis functions of patches."""


class KernelConv2d(nn.Conv2d):
    """Kervolution, as a subclass of a convolution."""


class L1Conv2d(nn.Conv2d):
    """Distances of patches, as a subclass of a convolution."""


class ScaledStdConv2d(nn.Conv2d):
    """A convolution whose weight is standardized at run time."""


class EqualConv2d(nn.Module):
    """A convolution of a class of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.scale = 0.1


class SameConv2d(nn.Conv2d):
    """A convolution."""


def verdict(module: nn.Module) -> tuple[str | None, str | None]:
    """Return the reason, or the weight kind, of the weight of a pickled module."""
    found = classify_tensors(read(saved(nn.Sequential(module))).values(), "all")
    kinds = [layer.weight_kind for layer in found.layers]
    assert len(kinds) <= 1
    reason = next(entry.reason for entry in found.ledger if entry.tensor.endswith(".weight"))
    return reason, kinds[0] if kinds else None


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (Adder2d(), ("nonstandard_operator", None)),
        (RBFLayer(), ("nonstandard_operator", None)),
        (KernelConv2d(3, 8, 3), ("nonstandard_operator", None)),
        (L1Conv2d(3, 8, 3), ("nonstandard_operator", None)),
        (ScaledStdConv2d(3, 8, 3), (None, "standardized")),
        (EqualConv2d(), (None, "standardized")),
        (SameConv2d(3, 8, 3), (None, "learned")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_class_of_a_pickled_module_comes_first(module: nn.Module, expected: tuple[str | None, str | None]) -> None:
    assert verdict(module) == expected


def pruned() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))
    prune.ln_structured(net[0], "weight", amount=0.5, n=2, dim=0)
    prune.l1_unstructured(net[1], "weight", amount=0.9)
    return net


@pytest.mark.parametrize("whole", [False, True], ids=["state dict", "module"])
def test_a_pruned_weight_is_the_product(whole: bool) -> None:
    net = pruned()
    found = classify_tensors(read(saved(net if whole else net.state_dict())).values(), "all")
    assert [(layer.path, layer.weight_kind) for layer in found.layers] == [("0", "learned"), ("1", "learned")]
    for layer in found.layers:
        weight = net.get_submodule(layer.path).weight
        assert isinstance(weight, torch.Tensor)
        assert to_float32(layer, 0, layer.out_channels, torch.device("cpu")).numpy().tobytes() == bits(weight)
        assert layer.operator_verified == whole


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_the_weight_that_a_pickled_module_computed_last_is_no_second_kernel(norm: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = nn.Sequential(norm(nn.Conv2d(3, 8, 3)))
    net(torch.randn(1, 3, 4, 4))
    net[0].weight = net[0].weight.detach()
    found = classify_tensors(read(saved(net)).values(), "all")
    assert [(layer.path, layer.weight_kind) for layer in found.layers] == [("0", "standardized")]
    assert {entry.rule for entry in found.ledger if entry.tensor.endswith(".weight")} == {"computed_copy"}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.dw = nn.Conv2d(8, 8, (3, 5), groups=8, dilation=(2, 1))
        self.same = nn.Conv2d(8, 8, 3, padding="same")
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2, output_padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.same(torch.relu(self.dw(self.bn(self.conv1(x))))))
        return self.fc(self.up(x).mean((2, 3)))


def frozen(traced: bool) -> Any:
    net = Net().eval()
    example = torch.randn(1, 3, 32, 32)
    made = torch.jit.trace(net, example) if traced else torch.jit.script(net)  # type: ignore[no-untyped-call]
    return torch.jit.freeze(made)


@pytest.mark.parametrize("traced", [False, True], ids=["scripted", "traced"])
def test_kernels_of_a_frozen_network_are_constants_of_its_code(traced: bool) -> None:
    torch.manual_seed(0)
    found = read(scripted(lambda: frozen(traced)))
    torch.manual_seed(0)
    state = Net().state_dict()
    convolutions = {name: tensor.convolution for name, tensor in found.items() if tensor.convolution is not None}
    facts = [(made.op, made.groups, made.stride, made.padding, made.dilation) for made in convolutions.values()]
    assert facts == [
        ("conv2d", 1, (2, 2), (1, 1), (1, 1)),
        ("conv2d", 8, (1, 1), (0, 0), (2, 1)),
        ("conv2d", 1, (1, 1), None, (1, 1)),
        ("conv_transpose2d", 1, (2, 2), (0, 0), (1, 1)),
    ]
    stored = [numbers(found[name]) for name in convolutions]
    assert stored[1:] == [bits(state[f"{name}.weight"]) for name in ("dw", "same", "up")]  # a norm is folded into conv1
    assert {tensor.reason for tensor in found.values() if tensor.convolution is None} == {"constant"}
    assert {tensor.layer for tensor in found.values() if tensor.convolution} == set(convolutions)


class Uses(nn.Module):
    """A module whose code decides what its weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight, stride=2)


class Centers(Uses):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight)


class L1Script(nn.Conv2d):
    """Distances of patches, in a class that looks like a convolution's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = functional.unfold(x, 3)
        return -(columns.unsqueeze(1) - self.weight.view(8, -1).unsqueeze(2)).abs().sum(2)


class Standardized(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class CentersForMethod(nn.Conv2d):
    """Gives the method of its base class another weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)


def distances(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (x.sum() - weight).abs()


class Elsewhere(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return distances(x, self.weight)


class Distances(nn.Conv2d):
    """Convolves with one of its weights only."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size)
        self.kernel = nn.Parameter(torch.randn(outputs, inputs, size, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.kernel) - (x.sum() - self.weight).abs().sum()


@pytest.mark.parametrize(
    ("cls", "kind", "verified"),
    [
        (nn.Conv2d, "learned", True),
        (CentersForMethod, "standardized", True),
        (Elsewhere, "learned", False),
        (Distances, "learned", False),
    ],
)
def test_a_subclass_of_a_convolution_is_one_if_its_code_convolves(
    cls: type[nn.Conv2d], kind: str, verified: bool
) -> None:
    _, layers = scripted_weight(nn.Sequential(cls(3, 8, 3)), traced=False)
    (layer,) = [layer for layer in layers.layers if layer.tensor.name == "0.weight"]
    assert (layer.weight_kind, layer.operator_verified) == (kind, verified)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(3, 8, 3), nn.Conv3d(3, 8, 3), nn.ConvTranspose2d(3, 8, 3), nn.ConvTranspose1d(3, 8, 3),
        nn.ConvTranspose3d(3, 8, 3), nn.Conv2d(3, 8, 3, padding="same"),
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"), nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
    ],
)  # fmt: skip
def test_all_scripted_convolutions_are_proven(module: nn.Module) -> None:
    (layer,) = classify_tensors(read(scripted(lambda: torch.jit.script(module))).values(), "all").layers
    assert (layer.weight_kind, layer.operator_verified) == ("learned", True)


def scripted_weight(module: nn.Module, traced: bool) -> tuple[StoredTensor, ClassifiedTensors]:
    example = torch.randn(1, 3, 8, 8)
    data = scripted(
        lambda: torch.jit.trace(module, example) if traced else torch.jit.script(module)  # type: ignore[no-untyped-call]
    )
    found = read(data)
    return found["0.weight"], classify_tensors(found.values(), "all")


@pytest.mark.parametrize("traced", [False, True], ids=["scripted", "traced"])
def test_the_code_of_a_scripted_module_decides(traced: bool) -> None:
    direct, layers = scripted_weight(nn.Sequential(Uses()), traced)
    assert direct.convolution is not None
    assert (direct.convolution.op, direct.convolution.stride) == ("conv2d", (2, 2))
    assert [layer.weight_kind for layer in layers.layers] == ["learned"]
    centered, layers = scripted_weight(nn.Sequential(Centers()), traced)
    assert centered.convolution is None
    assert [layer.weight_kind for layer in layers.layers] == ["standardized"]
    for other in (Adder2d(), L1Script(3, 8, 3)):
        added, layers = scripted_weight(nn.Sequential(other), traced)
        assert (added.reason, layers.layers) == ("nonstandard_operator", ())
    _, layers = scripted_weight(nn.Sequential(Standardized(3, 8, 3)), traced)
    assert [(layer.weight_kind, layer.operator_verified) for layer in layers.layers] == [("standardized", not traced)]


def test_the_first_parameter_of_a_method_may_have_any_name() -> None:
    code = """
  def forward(s: __torch__.A,
    x: Tensor) -> Tensor:
    weight = s.weight
    w = torch.sub(weight, torch.mean(weight))
    return torch.conv2d(torch.conv2d(x, s.other), w)
"""
    uses = weight_uses(code)
    assert uses.settings.keys() == {"other"}
    assert uses.computed_from == {"weight"}
    code = """
  def forward(module: __torch__.A, s: Tensor) -> Tensor:
    weight = module.s.weight
    return torch.abs(torch.sub(s, weight))
"""
    assert weight_uses(code).not_convolved == {"s.weight"}


def test_calls_are_found_inside_of_others() -> None:
    code = """
  def forward(self: A, x: Tensor) -> Tensor:
    weight = self.weight
    _0 = [2, 2]
    _1 = torch.conv2d(torch.relu(torch.conv1d(x, CONSTANTS.c3, None, [1])), weight, annotate(Tensor, b), _0, "same")
    return torch.conv2d(_1, torch.mul(self.other, weight))
"""
    assert [(name, len(arguments)) for name, arguments in calls(code)] == [("conv1d", 4), ("conv2d", 5), ("conv2d", 2)]
    uses = weight_uses(code)
    assert uses.settings.keys() == {"CONSTANTS.c3", "weight"}
    made = uses.convolution("weight", 2, learned=None)
    assert made is not None
    assert (made.stride, made.padding) == ((2, 2), None)
    assert uses.convolution("weight", 1, learned=None) is None
    assert uses.computed_from == {"other", "weight"}
    assert uses.may_convolve("weight")
    assert uses.may_convolve("unread")


@pytest.mark.parametrize(
    "code",
    [
        "torch.conv2d(" * 20_000,
        "conv" * 200_000,
        "__torch__." * 80_000,
        "a = b\n    b = a\n    torch.conv2d(x, a)",
        "torch.conv2d(x",
    ],
)
def test_broken_code_proves_nothing(code: str) -> None:
    assert weight_uses(f"  def f(self):\n    {code}").settings == {}
