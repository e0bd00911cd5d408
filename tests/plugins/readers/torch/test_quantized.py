"""Quantized convolutions: their weights lie in the states of modules and in packed parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx

from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl_plugins.formats.pickle.objects import Global, PickledTensor, Quantizer, Stub
from filtercrawl_plugins.readers.torch.quantized_state import packed_uses, state_by_name
from filtercrawl_plugins.readers.torch.torchscript import prepacked_uses
from support.torch_files import read, saved, scripted

EXAMPLE = torch.randn(2, 3, 16, 16)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations and remarks on observers
        yield


def float_network() -> nn.Sequential:
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(8, 4, 2, stride=2)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8, padding=1), up).eval()


def eager() -> nn.Module:
    net = nn.Sequential(quantization.QuantStub(), *float_network(), quantization.DeQuantStub()).eval()
    net.qconfig = quantization.get_default_qconfig("fbgemm")  # type: ignore[assignment]
    per_tensor = quantization.QConfig(quantization.default_observer, quantization.default_weight_observer)
    net[4].qconfig = per_tensor  # type: ignore[assignment]
    quantization.prepare(net, inplace=True)
    net(EXAMPLE)
    quantization.convert(net, inplace=True)
    return net


def fx_module() -> nn.Module:
    mapping = quantization.get_default_qconfig_mapping("fbgemm").set_object_type(nn.ConvTranspose2d, None)
    prepared = quantize_fx.prepare_fx(float_network(), mapping, (EXAMPLE,))
    prepared(EXAMPLE)
    return quantize_fx.convert_fx(prepared)


FORMS: dict[str, Callable[[nn.Module], bytes]] = {
    "module": saved,
    "scripted": lambda net: scripted(lambda: torch.jit.script(net)),
    "traced": lambda net: scripted(lambda: torch.jit.trace(net, EXAMPLE)),  # type: ignore[no-untyped-call]
    "frozen": lambda net: scripted(lambda: torch.jit.freeze(torch.jit.script(net))),
}


def weights(net: nn.Module) -> list[torch.Tensor]:
    """Return what the codes mean, `(code - zero_point) * scale` in float32, as kernels."""
    found = []
    for module in net.modules():
        if not type(module).__name__.startswith("Conv"):
            continue
        weight = module.weight() if callable(module.weight) else module.weight.detach()
        if weight.is_quantized and weight.qscheme() == torch.per_tensor_affine:
            weight = (weight.int_repr() - weight.q_zero_point()).float() * torch.tensor(weight.q_scale())
        elif weight.is_quantized:
            zero, scale = weight.q_per_channel_zero_points(), weight.q_per_channel_scales().float()
            codes = weight.int_repr().to(torch.int32) - zero.to(torch.int32).view(-1, 1, 1, 1)
            weight = codes.float() * scale.view(-1, 1, 1, 1)
        found.append(weight.transpose(0, 1) if "Transpose" in type(module).__name__ else weight)
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [eager, fx_module])
def test_weights_of_quantized_modules(form: str, make: Callable[[], nn.Module]) -> None:
    if make is fx_module and form == "frozen":
        pytest.skip("float and packed weights are covered one by one")
    net = make()
    layers = classify_tensors(read(FORMS[form](net)).values(), "all").layers
    assert [(layer.op, layer.groups, layer.operator_verified) for layer in layers] == [
        ("conv2d", 1, True), ("conv2d", 8, True), ("conv_transpose2d", 1, True),
    ]  # fmt: skip
    for layer, weight in zip(layers, weights(net), strict=True):
        made = to_float32(layer, 0, layer.out_channels, torch.device("cpu"))
        assert made.numpy().tobytes() == weight.contiguous().numpy().tobytes()
    stated = [layer.tensor.convolution for layer in layers]
    assert [(made.stride, made.padding, made.dilation) for made in stated if made is not None] == [
        ((2, 2), (0, 0), (1, 1)), ((1, 1), (1, 1), (1, 1)), ((2, 2), (0, 0), (1, 1)),
    ]  # fmt: skip


CODES = PickledTensor(None, 0, (8, 1, 3, 3), (), "int8", Quantizer(0.5, 0))


def packed(*state: object) -> Stub:
    return Stub(Global("__torch__.torch.classes.quantized", "Conv2dPackedParamsBase"), states=[state])


def test_packed_parameters_of_version_3() -> None:
    config = [2, 2, 2, 1, 1, 1, 1, 0, 0, 8, 0]
    named = state_by_name(packed(3, config, [None, CODES, None]))
    assert named == {"config": config, "weight": CODES, "bias": None}
    made = packed_uses(config).convolution("weight", 2, learned=None)
    assert made is not None
    assert (made.op, made.groups, made.stride, made.padding) == ("conv2d", 8, (2, 2), (1, 1))


@pytest.mark.parametrize(
    "config", [[], [2], [9] * 40, [2, 2, 2, 1, 1, 1, 1, 0, 0, 8, 4], [2, 2, 2, 1, 1, 1, 1, 0, 0, None, 0]]
)
def test_a_configuration_of_another_form_proves_nothing(config: list[object]) -> None:
    assert packed_uses(config).convolution("weight", 2, learned=None) is None


def test_a_state_of_another_form_proves_nothing() -> None:
    assert state_by_name(packed(4, [], [None, CODES])) == {}
    assert state_by_name(Stub(Global("a", "b"), states=[tuple(range(15))])) == {}


def test_prepacked_convolutions_of_mobile_archives() -> None:
    state = (CODES, None, [2, 1], [0, 1], [1, 1], 8, None, None)
    made = prepacked_uses("Conv2dOpContext", Stub(None, states=[state])).convolution("0", 2, learned=None)
    assert made is not None
    assert (made.op, made.groups, made.stride, made.padding) == ("conv2d", 8, (2, 1), (0, 1))
    transposed = (CODES, None, [2, 2], [0, 0], [1, 1], [3, 3], 4, None, None)
    made = prepacked_uses("TransposeConv2dOpContext", Stub(None, states=[transposed])).convolution("0", 2, learned=None)
    assert made is not None
    assert (made.op, made.groups, made.stride, made.dilation) == ("conv_transpose2d", 4, (2, 2), (3, 3))
    assert prepacked_uses("LinearOpContext", Stub(None, states=[state])).settings == {}
