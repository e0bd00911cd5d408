"""How a structure meets the tensors of a checkpoint."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.layers import CondConv2d
from torch import nn

from filtercrawl.api import Checkpoint, CheckpointMetadata, Query, Source, Transport
from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.reader import find_reader
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.extraction.architecture import Structure, expand_banks, match_tensors, on_meta, structure_of, trace


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 2, 4, stride=2, bias=False)
        self.bank = CondConv2d(2, 6, (3, 5), num_experts=3)
        self.route = nn.Linear(2, 3)
        # Three axes and the name of a weight, but it multiplies.
        self.stack = nn.ParameterDict({"weight": nn.Parameter(torch.randn(5, 6, 7))})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.up(self.stem(x))
        x = self.bank(x, self.route(x.mean((2, 3))))
        return torch.einsum("bchw,ncd->bnd", x, self.stack["weight"])


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = Net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.backbone(x)


SAMPLE = (torch.empty(1, 3, 8, 8, device="meta"),)
STRUCTURE = trace(Net(), SAMPLE)


class Alone:
    """A checkpoint of one file on this machine."""

    def __init__(self, path: Path) -> None:
        self.main = LocalFile(path)

    def open(self, path: str) -> LocalFile:
        raise FileNotFoundError(path)

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        raise FileNotFoundError(path)


def stored(folder: Path, tensors: Mapping[str, torch.Tensor], plugins: Plugins) -> list[StoredTensor]:
    path = folder / "model.safetensors"
    save_file(dict(tensors), path)
    files = Alone(path)
    reader = find_reader(plugins.readers, files.main)
    assert reader is not None
    return list(reader.tensors(files))


def numbers(tensor: StoredTensor) -> np.ndarray:
    assert tensor.location is not None
    raw = tensor.location.read(tuple((0, n) for n in tensor.location.shape))
    return raw.view(np.float32).reshape(tensor.location.shape)


def test_every_tensor_gets_what_the_graph_proves(tmp_path: Path, plugins: Plugins) -> None:
    state = Net().state_dict()
    applied = match_tensors(STRUCTURE, stored(tmp_path, state, plugins))
    assert applied.unmatched == ()
    assert applied.matched == len(state)
    by_name = {tensor.name: tensor for tensor in applied.tensors if tensor.bank_index is None}
    up = by_name["up.weight"]
    assert up.convolution is not None
    assert (up.convolution.op, up.convolution.stride, up.layer) == ("conv_transpose2d", (2, 2), "up")
    assert up.depth is not None
    assert (up.depth.conv_depth, up.depth.is_first, up.weight_kind) == (1, False, "learned")
    assert (by_name["stem.bias"].reason, by_name["route.weight"].reason) == ("bias", "linear")
    assert by_name["stack.weight"].reason == "nonstandard_operator"


def test_a_bank_becomes_its_experts(tmp_path: Path, plugins: Plugins) -> None:
    module = Net()
    found = match_tensors(STRUCTURE, stored(tmp_path, module.state_dict(), plugins)).tensors
    experts = [expert for tensor in found if tensor.name == "bank.weight" for expert in expand_banks(tensor)]
    assert [tensor.bank_index for tensor in experts] == [0, 1, 2]
    for i, expert in enumerate(experts):
        assert (expert.shape, expert.bank, expert.weight_kind) == ((6, 2, 3, 5), None, "dynamic_bank")
        assert expert.depth is not None
        expected = module.bank.weight[i].detach().numpy().reshape(6, 2, 3, 5)
        assert numbers(expert).tobytes() == expected.tobytes()


def test_a_bank_is_sliced_in_any_layout(tmp_path: Path, plugins: Plugins) -> None:
    numbers_in_bank = torch.randn(3, 2 * 1 * 3)
    flat = stored(tmp_path, {"w": numbers_in_bank.T.contiguous(), "x": numbers_in_bank}, plugins)
    by_name = {tensor.name: tensor for tensor in flat}
    extent = by_name["w"].location
    assert extent is not None
    turned = replace(by_name["w"], shape=(3, 6), location=replace(extent, shape=(3, 6), strides=(1, 3)), bank=(2, 1, 3))
    plain = replace(by_name["x"], bank=(2, 1, 3), quantization=Quantization(scale=(1.0, 2.0, 3.0)))
    for a, b, expected in zip(expand_banks(turned), expand_banks(plain), numbers_in_bank, strict=True):
        assert np.array_equal(numbers(a), expected.numpy().reshape(2, 1, 3))
        assert np.array_equal(numbers(b), numbers(a))
        assert b.quantization is not None
        assert b.bank_index is not None
        assert b.quantization.scale == (b.bank_index + 1.0,)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "backbone.", "model.net."])
def test_names_below_a_prefix_are_found(tmp_path: Path, plugins: Plugins, prefix: str) -> None:
    state = {prefix + name: tensor for name, tensor in Net().state_dict().items()}
    applied = match_tensors(STRUCTURE, stored(tmp_path, {**state, "loss.temperature": torch.zeros(1)}, plugins))
    assert applied.unmatched == ("loss.temperature",)
    assert {t.name for t in applied.tensors if t.depth} == {f"{prefix}{n}.weight" for n in ("stem", "up", "bank")}


def test_a_part_stored_without_its_prefix_is_found(tmp_path: Path, plugins: Plugins) -> None:
    applied = match_tensors(trace(Backbone(), SAMPLE), stored(tmp_path, Net().state_dict(), plugins))
    assert applied.unmatched == ()
    assert [t.depth.conv_depth for t in applied.tensors if t.depth and t.name == "up.weight"] == [1]


def test_a_prefix_is_not_believed_where_a_shape_differs(tmp_path: Path, plugins: Plugins) -> None:
    state = {f"backbone.{name}": tensor for name, tensor in Net().state_dict().items()}
    state["backbone.up.weight"] = torch.zeros(4, 2, 3, 3)
    tensors = stored(tmp_path, state, plugins)
    applied = match_tensors(STRUCTURE, tensors)
    assert applied.matched == 0
    assert applied.tensors == tuple(tensors)


def test_another_shape_keeps_what_its_bytes_prove(tmp_path: Path, plugins: Plugins) -> None:
    state = Net().state_dict() | {"stem.weight": torch.zeros(4, 1, 3, 3)}
    tensors = stored(tmp_path, state, plugins)
    applied = match_tensors(STRUCTURE, tensors)
    assert applied.unmatched == ("stem.weight",)
    assert {t.name: t for t in applied.tensors}["stem.weight"] == {t.name: t for t in tensors}["stem.weight"]


def test_only_the_part_that_is_the_model_is_matched(tmp_path: Path, plugins: Plugins) -> None:
    state = {f"{half}.{n}": t.clone() for half in ("student", "teacher") for n, t in Net().state_dict().items()}
    applied = match_tensors(STRUCTURE, stored(tmp_path, state, plugins), prefix="teacher.")
    assert len(applied.unmatched) == len(Net().state_dict())
    assert all(t.name.startswith("teacher.") for t in applied.tensors if t.depth)


def test_what_the_file_proves_is_kept(tmp_path: Path, plugins: Plugins) -> None:
    tensors = stored(tmp_path, Net().state_dict(), plugins)
    unreadable = [replace(t, location=None, reason="unreadable") for t in tensors]
    assert match_tensors(STRUCTURE, unreadable).tensors == tuple(unreadable)


def test_a_network_that_could_not_run_denies_nothing(tmp_path: Path, plugins: Plugins) -> None:
    structure = trace(Net(), (torch.empty(1, 99, 8, 8, device="meta"),))
    assert structure.problem is not None
    by_name = {t.name: t for t in match_tensors(structure, stored(tmp_path, Net().state_dict(), plugins)).tensors}
    assert by_name["stack.weight"].reason is None
    assert by_name["stem.weight"].depth is None
    assert by_name["stem.weight"].convolution is not None


class Zoo:
    """A source that builds its networks by what a record says of them."""

    name = "zoo"

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint]:
        raise NotImplementedError

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        channels = checkpoint.meta.extra["channels"]
        return on_meta(lambda: nn.Sequential(nn.Conv1d(channels, 2, 3)))

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[torch.Tensor, ...]:
        return (torch.empty(1, checkpoint.meta.extra["channels"], 16, device="meta"),)


def structure_for(source: Any, extra: dict[str, Any]) -> Structure | None:
    record = Checkpoint(name="net", files=(), meta=CheckpointMetadata(extra=extra))
    return structure_of(source, pickle.loads(pickle.dumps(record)))


def test_a_source_builds_and_feeds_its_networks() -> None:
    assert isinstance(Zoo(), Source)
    structure = structure_for(Zoo(), {"channels": 7})
    assert structure is not None
    assert structure.problem is None
    assert structure.facts["0.weight"].shape == (2, 7, 3)


def test_a_network_that_cannot_be_built_costs_its_structure_only() -> None:
    assert structure_for(Zoo(), {}) == Structure(problem="cannot be built: KeyError: 'channels'")
    assert structure_for(object(), {}) is None
