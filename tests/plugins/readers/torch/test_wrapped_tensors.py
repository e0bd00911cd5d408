"""Tensors that wrap others: lazy negations, distributed tensors, and modules of `torch.fx`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import fx, nn
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import Shard as LocalShard
from torch.distributed._shard.sharded_tensor import init_from_local_shards
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from filtercrawl.api.errors import UnsupportedError
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.quantized_weights import resolve_quantized
from filtercrawl.extraction.to_float32 import to_float32
from support.torch_files import bits, numbers, read, saved

BOTH = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
WEIGHT = torch.randn(4, 3, 3, 3)


@BOTH
@pytest.mark.parametrize("parameter", [False, True])
def test_a_lazy_negation_is_noted(zipped: bool, parameter: bool) -> None:
    conjugate = torch.randn(2, 1, 3, 3, dtype=torch.complex64).conj()
    parts = {"real.weight": conjugate.real, "imag.weight": conjugate.imag}
    assert parts["imag.weight"].is_neg()
    held = {key: nn.Parameter(part) if parameter else part for key, part in parts.items()}
    found = read(saved(held, zipped=zipped))
    assert {name: tensor.negated for name, tensor in found.items()} == {"real.weight": False, "imag.weight": True}
    assert numbers(found["real.weight"]) == bits(parts["real.weight"].clone())
    assert numbers(found["imag.weight"]) == bits(-parts["imag.weight"].resolve_neg())


@BOTH
def test_a_parameter_of_a_lazy_module_is_in_the_ledger(zipped: bool) -> None:
    held = nn.Sequential(nn.LazyConv2d(8, 3), nn.Conv2d(8, 4, 3)).state_dict()
    found = read(saved(held, zipped=zipped))
    assert [(tensor.shape, tensor.reason) for tensor in found.values()] == [
        ((), "unreadable"), ((), "unreadable"), ((4, 8, 3, 3), None), ((4,), None)
    ]  # fmt: skip


class QuantoTensor:
    """Pickles like `WeightQBytesTensor` of optimum-quanto, or like a class of another package with the same state."""

    def __init__(self, codes: torch.Tensor, scale: torch.Tensor, module: str) -> None:
        self.state = {"_axis": 0, "_data": codes, "_scale": scale}
        self.inner = (torch.float32, codes.shape, codes.stride(), 0)
        self.cls = type("WeightQBytesTensor", (), {"__module__": module})

    def __reduce__(self) -> tuple[object, ...]:
        rebuild = torch._utils._rebuild_wrapper_subclass  # type: ignore[attr-defined]
        return torch._tensor._rebuild_from_type_v2, (rebuild, self.cls, (self.cls, *self.inner), self.state)


@BOTH
def test_a_quantized_weight_of_quanto_in_a_module(zipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, scale = torch.randint(-128, 128, (8, 2, 3, 3), dtype=torch.int8), torch.rand(8, 1, 1, 1)
    monkeypatch.setitem(sys.modules, "optimum", ModuleType("optimum"))
    for name in ("optimum.quanto", "another"):
        weight = QuantoTensor(codes, scale, name)
        stand_in = ModuleType(name)
        stand_in.WeightQBytesTensor = weight.cls  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, stand_in)
        module = nn.Conv2d(4, 8, 3, groups=2, bias=False)
        module._parameters["weight"] = weight  # type: ignore[assignment]
        classified = classify_tensors(resolve_quantized(read(saved(nn.Sequential(module), zipped=zipped)).values()))
        if name == "another":
            assert [(entry.shape, entry.reason) for entry in classified.ledger] == [((8, 2, 3, 3), "unreadable")]
        else:
            (layer,) = classified.layers
            assert (layer.op, layer.groups, layer.operator_verified) == ("conv2d", 2, True)
            assert [entry.reason for entry in classified.ledger] == [None, "quantization"]
            assert torch.equal(to_float32(layer, 0, 8, torch.device("cpu")), codes * scale)


@pytest.fixture
def process_group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[no-untyped-call]
    yield
    dist.destroy_process_group()


def distributed(weight: torch.Tensor, placement: Placement, **shape: Any) -> DTensor:
    mesh = init_device_mesh("cpu", (1,))
    return DTensor.from_local(weight, mesh, [placement], run_check=False, **shape)


@BOTH
@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("parameter", [False, True])
def test_a_whole_distributed_tensor_has_the_numbers_of_its_local_part(zipped: bool, parameter: bool) -> None:
    made = {"a": distributed(WEIGHT, Shard(0)), "b": distributed(WEIGHT + 1, Replicate())}
    held = {f"{key}.weight": nn.Parameter(part) if parameter else part for key, part in made.items()}
    found = read(saved(held, zipped=zipped))
    assert {name: numbers(tensor) for name, tensor in found.items()} == {
        "a.weight": bits(WEIGHT), "b.weight": bits(WEIGHT + 1),
    }  # fmt: skip


@pytest.mark.usefixtures("process_group")
def test_a_part_of_a_distributed_tensor_is_refused() -> None:
    part = distributed(WEIGHT, Shard(0), shape=torch.Size((8, 3, 3, 3)), stride=(27, 9, 3, 1))
    with pytest.raises(UnsupportedError, match=r"only a part of the tensor 'a.weight' of shape \[8, 3, 3, 3\]"):
        read(saved({"a.weight": part}))
    with pytest.raises(UnsupportedError, match="one shard of a distributed checkpoint"):
        read(saved({"a.weight": distributed(WEIGHT, Partial())}))


@pytest.mark.usefixtures("process_group")
def test_a_sharded_tensor() -> None:
    shard = LocalShard(WEIGHT, ShardMetadata([0, 0, 0, 0], [4, 3, 3, 3], "rank:0/cpu"))
    half = LocalShard(WEIGHT[:2], ShardMetadata([0, 0, 0, 0], [2, 3, 3, 3], "rank:0/cpu"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # files of it are around for long
        made = init_from_local_shards([shard], 4, 3, 3, 3)
        whole = saved({"a.weight": made})
        made._local_shards = [half, half]
        part = saved({"a.weight": made})
    (weight,) = read(whole).values()
    assert numbers(weight) == bits(WEIGHT)
    with pytest.raises(UnsupportedError, match=r"of shape \[4, 3, 3, 3\]"):
        read(part)


class Functional(nn.Module):
    """Holds a weight that a function uses, which `torch.fx` keeps in a module of no class."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 8, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight)


@BOTH
def test_a_graph_module_has_the_paths_of_its_modules(zipped: bool) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Sequential(nn.Conv2d(8, 8, 3, groups=8)), Functional(), nn.BatchNorm2d(4)
    )
    found = read(saved({"model": fx.symbolic_trace(net)}, zipped=zipped))
    by_key = {tensor.key: tensor for tensor in found.values()}
    assert {key: numbers(tensor) for key, tensor in by_key.items()} == {
        key: bits(tensor) for key, tensor in net.state_dict().items()
    }
    assert {tensor.root for tensor in found.values()} == {("model",)}
    layers = {layer.path: layer for layer in classify_tensors(found.values(), "all").layers}
    assert {path: layer.groups for path, layer in layers.items()} == {"0": 1, "1.0": 8, "2": None}
    assert layers["0"].tensor.convolution is not None
    assert layers["0"].tensor.convolution.stride == (2, 2)
