"""Modules that were pickled whole, and TorchScript: names, settings of convolutions, and other reasons."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.tensor import StoredTensor
from support.torch_files import READERS, OneFile, bits, claimed, numbers, read, saved, scripted, torchscript

BOTH = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class SameConv(nn.Conv2d):
    """A convolution of a class that nobody knows."""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = SameConv(4, 6, (3, 5), stride=(1, 2), padding=(1, 2), groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.anchors = torch.arange(4.0)
        self.register_buffer("basis", torch.ones(2, 1, 7))
        self.parts = [self.conv, self]


class FixedConv(nn.Conv1d):
    """A convolution whose weight no training changes."""

    def __init__(self) -> None:
        super().__init__(1, 4, 9, bias=False)
        weight = self.weight.detach()
        del self.weight
        self.register_buffer("weight", weight)


def convolution(tensor: StoredTensor) -> Convolution:
    assert tensor.convolution is not None
    return tensor.convolution


@BOTH
def test_a_pickled_norm_gives_its_epsilon(zipped: bool) -> None:
    found = read(saved({"model": nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, eps=1e-3))}, zipped=zipped))
    eps = {name.rpartition(".")[2]: tensor.eps for name, tensor in found.items() if ".1." in name}
    assert eps["running_var"] == 1e-3
    assert {value for name, value in eps.items() if name != "running_var"} == {None}


@BOTH
def test_a_pickled_module_gives_its_kernels(zipped: bool) -> None:
    block = Block()
    found = read(saved({"epoch": 1, "model": nn.Sequential(block, nn.Conv2d(6, 2, 1))}, zipped=zipped))
    weight = found["model._modules.0._modules.conv._parameters.weight"]
    assert (weight.root, weight.key, weight.layer) == (("model",), "0.conv.weight", "0.conv")
    assert numbers(weight) == bits(block.conv.weight)
    assert weight.convolution == Convolution(
        op="conv2d", groups=2, stride=(1, 2), padding=(1, 2), dilation=(1, 1), learned=True, source="module"
    )
    assert {name.removeprefix("model._modules."): tensor.reason for name, tensor in found.items()} == {
        "0.anchors": None,
        "0._buffers.basis": None,
        "0._modules.conv._parameters.weight": None,
        "0._modules.conv._parameters.bias": "bias",
        **{f"0._modules.norm._parameters.{name}": "norm" for name in ("weight", "bias")},
        **{
            f"0._modules.norm._buffers.{name}": "norm"
            for name in ("running_mean", "running_var", "num_batches_tracked")
        },
        "1._parameters.weight": None,
        "1._parameters.bias": "bias",
    }
    assert found["model._modules.0.anchors"].key == "0.anchors"
    assert found["model._modules.0.anchors"].layer == "0"


@BOTH
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_kind_of_convolution_is_proven(zipped: bool, rank: int, transposed: bool) -> None:
    name = f"Conv{'Transpose' * transposed}{rank}d"
    layer = getattr(nn, name)(6, 4, 3, stride=2, padding=1, dilation=2, groups=2)
    found = read(saved(layer, zipped=zipped))
    weight = found["_parameters.weight"]
    assert (weight.root, weight.key, weight.layer, weight.shape) == (
        (),
        "weight",
        "",
        tuple(layer.weight.shape),
    )
    assert weight.convolution == Convolution(
        op=f"conv_transpose{rank}d" if transposed else f"conv{rank}d",  # type: ignore[arg-type]  # built from parts
        groups=2,
        stride=(2,) * rank,
        padding=(1,) * rank,
        dilation=(2,) * rank,
        learned=True,
        source="module",
    )


@pytest.mark.parametrize(("padding", "expected"), [("valid", (0, 0)), ("same", None), (3, (3, 3))])
def test_padding_by_name(padding: str | int, expected: tuple[int, int] | None) -> None:
    found = read(saved(nn.Conv2d(1, 1, 3, padding=padding)))
    assert convolution(found["_parameters.weight"]).padding == expected


def test_a_buffer_is_not_learned() -> None:
    (weight,) = read(saved(FixedConv())).values()
    assert weight.name == "_buffers.weight"
    assert convolution(weight).learned is False


@pytest.mark.parametrize(
    ("layer", "reasons"),
    [
        (nn.Linear(2, 3), {"linear", "bias"}),
        (nn.Embedding(2, 3), {"embedding"}),
        (nn.LSTM(2, 3), {"recurrent"}),
        (nn.GRUCell(2, 3), {"recurrent"}),
        (nn.PReLU(), {"activation"}),
        (nn.LayerNorm(3), {"norm"}),
        (nn.GroupNorm(1, 3), {"norm"}),
        (nn.InstanceNorm2d(3, affine=True), {"norm"}),
    ],
)
def test_layers_that_hold_no_kernels_say_why(layer: nn.Module, reasons: set[str]) -> None:
    assert {tensor.reason for tensor in read(saved(layer)).values()} == reasons


def test_modules_that_know_each_other_are_walked_once() -> None:
    layers = nn.ModuleList(nn.Conv2d(1, 1, 3, bias=False) for _ in range(30))
    for layer in layers:
        layer.friends = list(layers)  # type: ignore[assignment]  # any attribute will do
    assert len(read(saved(layers))) == 30


def test_a_shared_submodule_has_two_names() -> None:
    shared = nn.Conv2d(1, 1, 3, bias=False)
    found = read(saved(nn.ModuleDict({"a": shared, "b": shared})))
    assert list(found) == ["_modules.a._parameters.weight", "_modules.b._parameters.weight"]


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2, padding="same", bias=False),
        nn.BatchNorm2d(8),
        nn.ConvTranspose2d(8, 2, (3, 5), stride=2, padding=1),
        nn.Conv2d(2, 3, 3, padding=(1, 2)),
        nn.Flatten(),
        nn.LazyLinear(5),
    )


@pytest.mark.parametrize("traced", [False, True], ids=["scripted", "traced"])
def test_torchscript_gives_the_state_dict_and_the_settings(traced: bool) -> None:
    example = torch.rand(1, 4, 8, 8)
    plain = network().eval()
    plain(example)
    data = scripted(lambda: trace(plain, example) if traced else torch.jit.script(plain))
    assert claimed(data) == ["torchscript"]
    found = read(data)
    for name, tensor in plain.state_dict().items():
        stored = found[name]
        assert numbers(stored) == bits(tensor)
        assert (stored.root, stored.key, stored.layer) == ((), name, name.rpartition(".")[0])
    assert found["0.weight"].convolution == Convolution(
        op="conv2d", groups=2, stride=(1, 1), padding=None, dilation=(1, 1), learned=True, source="module"
    )
    assert found["2.weight"].convolution == Convolution(
        op="conv_transpose2d",
        groups=1,
        stride=(2, 2),
        padding=(1, 1),
        dilation=(1, 1),
        learned=True,
        source="module",
    )
    assert convolution(found["3.weight"]).padding == (1, 2)
    assert [found[name].reason for name in ("1.weight", "5.weight", "5.bias", "3.bias")] == [
        "norm", "linear", "bias", "bias",
    ]  # fmt: skip


def test_constants_of_the_code_are_in_the_ledger() -> None:
    shift = torch.tensor([1.0, 2.0])

    class Shift(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + shift

    found = read(scripted(lambda: trace(Shift(), torch.rand(2))))
    constant = found["constants.0"]
    assert (constant.root, constant.key, constant.reason) == (("constants",), "0", "constant")
    assert numbers(constant) == bits(shift)


@pytest.mark.parametrize("distribution", ["silero-vad"])
def test_a_published_torchscript_network(distribution: str) -> None:
    from filtercrawl.api.local_file import LocalFile

    listed = importlib.metadata.distribution(distribution).files or []
    (path,) = [Path(str(file.locate())) for file in listed if file.suffix == ".jit"]
    with LocalFile(path) as file:
        assert [name for name, reader in READERS.items() if reader.can_read(file)] == ["torchscript"]
        found = {tensor.name: tensor for tensor in READERS["torchscript"].tensors(OneFile(file))}
        assert file.bytes_read < file.size / 4
        assert convolution(found["_model.encoder.1.reparam_conv.weight"]).stride == (2,)
        with_weights = scripted_state(path)
        assert {name: numbers(found[name]) for name in with_weights} == with_weights


def scripted_state(path: Path) -> dict[str, bytes]:
    with torchscript():
        module = torch.jit.load(path)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return {name: bits(tensor) for name, tensor in module.state_dict().items()}


def trace(module: nn.Module, example: torch.Tensor) -> Any:
    return torch.jit.trace(module, example)  # type: ignore[no-untyped-call]  # torch leaves it untyped
