"""Exported programs give the tensors that `torch.export.load` gives, and their graph says which are convolved with."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from conftest import Sync
from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import CheckpointError, FormatError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.torch.exported_graph import weight_uses
from filtercrawl_plugins.readers.torch.exported_program import ExportedProgramReader
from support.damage import damaged
from support.torch_files import OneFile, bits, numbers, saved
from support.zoo_files import layers, table

READER = ExportedProgramReader()
CONFIG = "data/weights/model_weights_config.json"


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, (3, 5), stride=(1, 2), padding=(1, 2), groups=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2, groups=2)
        self.small = nn.Conv2d(4, 4, 1).half()
        self.centered = nn.Conv2d(4, 4, 3)
        self.pair = nn.Parameter(torch.randn(8, 4, 1, 1))
        self.head = nn.Linear(4, 2)
        self.mixture = nn.Parameter(torch.randn(2, 4, 5))
        self.register_buffer("blur", torch.ones(4, 1, 3, 3) / 9)
        self.register_buffer("table", torch.randn(4, 6))
        self.register_buffer("view", self.table[1:3].T)
        self.offset = torch.ones(1, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        inner = self.small(self.up(self.depthwise(self.conv(image))).half()).float()
        weight = self.centered.weight - self.centered.weight.mean()
        inner = nn.functional.conv2d(nn.functional.conv2d(inner, self.blur, groups=4), weight)
        inner = nn.functional.conv2d(inner, self.pair.chunk(2)[1])
        mixed = inner.flatten(2)[:, :, :4] @ self.mixture[0] + self.offset[..., :1]
        return self.head(mixed.mean(2)) + self.table.sum() + self.view.sum()


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    torch.manual_seed(0)
    return torch.export.export(Network().eval(), (torch.zeros(1, 3, 16, 16),))


@pytest.fixture(scope="module")
def archive(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def entries(archive: bytes) -> dict[str, bytes]:
    """Return the entries of an archive by their names in its folder."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def zipped(files: Mapping[str, bytes], folder: str = "net/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, data in files.items():
            opened.writestr(folder + name, data)
    return buffer.getvalue()


def read(data: bytes) -> dict[str, StoredTensor]:
    file = MemoryFile(data, "net.pt2")
    assert READER.can_read(file)
    return {tensor.name: tensor for tensor in READER.tensors(OneFile(file))}


def test_tensors_are_those_that_torch_loads(archive: bytes) -> None:
    loaded = torch.export.load(io.BytesIO(archive))
    expected = {**loaded.state_dict, **loaded.constants}
    found = read(archive)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert (found[name].shape, found[name].dtype) == (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        assert numbers(found[name]) == bits(tensor)


def test_the_graph_states_the_convolutions(archive: bytes) -> None:
    found = read(archive)
    stated = {"learned": True, "n_calls": 1, "source": "export_graph", "dilation": (1, 1)}
    assert {name: tensor.convolution for name, tensor in found.items() if tensor.convolution} == {
        "conv.weight": Convolution(op="conv2d", groups=1, stride=(1, 2), padding=(1, 2), **stated),
        "depthwise.weight": Convolution(op="conv2d", groups=8, stride=(1, 1), padding=None, **stated),
        "up.weight": Convolution(op="conv_transpose2d", groups=2, stride=(2, 2), padding=(0, 0), **stated),
        "small.weight": Convolution(op="conv2d", groups=1, stride=(1, 1), padding=(0, 0), **stated),
        "blur": Convolution(op="conv2d", groups=4, stride=(1, 1), padding=(0, 0), **{**stated, "learned": False}),
    }
    computed = {name for name, tensor in found.items() if tensor.weight_kind == "standardized"}
    assert computed == {"centered.weight", "pair"}
    assert {name: tensor.reason for name, tensor in found.items() if tensor.reason} == {
        "mixture": "nonstandard_operator", "offset": "constant"
    }  # fmt: skip


def as_by_torch_2_8(archive: bytes, program: torch.export.ExportedProgram) -> bytes:
    kept = {name: data for name, data in entries(archive).items() if not name.startswith("data/")}
    weights = {"weights": program.state_dict, "constants": program.constants}
    return zipped(kept | {f"data/{kind}/model.pt": saved(tensors) for kind, tensors in weights.items()})


def as_by_torch_2_5(archive: bytes, program: torch.export.ExportedProgram) -> bytes:
    files = {
        "serialized_exported_program.json": entries(archive)["models/model.json"],
        "serialized_state_dict.pt": saved(program.state_dict),
        "serialized_constants.pt": saved(program.constants),
        "version": b"7.3",
    }
    return zipped(files, folder="")


@pytest.mark.parametrize("write", [as_by_torch_2_8, as_by_torch_2_5])
def test_older_archives_hold_files_of_torch(
    write: Callable[[bytes, torch.export.ExportedProgram], bytes],
    archive: bytes,
    program: torch.export.ExportedProgram,
) -> None:
    old, new = read(write(archive, program)), read(archive)
    assert set(old) == set(new)
    for name, tensor in new.items():
        assert numbers(old[name]) == numbers(tensor)
        assert (old[name].convolution, old[name].reason) == (tensor.convolution, tensor.reason)


def test_without_a_graph_that_is_understood_names_and_shapes_decide(archive: bytes) -> None:
    found = read(zipped(entries(archive) | {"models/model.json": b'{"graph_module": []}'}))
    assert not any(tensor.convolution for tensor in found.values())
    assert {name for name, tensor in found.items() if tensor.reason} == {"offset"}


def test_a_large_graph_takes_time_in_proportion(archive: bytes) -> None:
    program = json.loads(entries(archive)["models/model.json"])
    nodes = program["graph_module"]["graph"]["nodes"]
    convolution = next(node for node in nodes if "conv2d" in node["target"])
    chain = [
        {"target": "torch.ops.aten.neg.default", "inputs": [{"name": "self", "arg": {"as_tensor": {"name": f"v{i}"}}}],
         "outputs": [{"as_tensor": {"name": f"v{i + 1}"}}]}
        for i in range(10_000)
    ]  # fmt: skip
    weight = {"name": "weight", "arg": {"as_tensor": {"name": "v10000"}}}
    nodes += [*chain, *[{**convolution, "inputs": [weight]}] * 10_000]
    started = time.process_time()
    weight_uses(program)
    assert time.process_time() - started < 5


def test_json_that_inflates_is_refused(archive: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in (entries(archive) | {"models/model.json": b"[" + b"{}," * (2 << 20) + b"0]"}).items():
            opened.writestr(f"net/{name}", data)
    with pytest.raises(CheckpointError, match="at most"):
        read(buffer.getvalue())


def test_two_programs_have_their_names(archive: bytes) -> None:
    files = entries(archive)
    other = {name.replace("/model", "/other"): data for name, data in files.items()}
    found = read(zipped(files | other))
    assert {name.partition(".")[0] for name in found} == {"model", "other"}
    assert found["other.conv.weight"].root == ("other",)


def test_compiled_code_is_named(archive: bytes) -> None:
    kept = {name: data for name, data in entries(archive).items() if "format" in name}
    with pytest.raises(FormatError, match="AOTInductor"):
        read(zipped(kept | {"data/aotinductor/model/net.so": b"\x7fELF"}))


def changed(archive: bytes, **fields: Any) -> bytes:
    """Change what the archive says about the first convolution."""
    files = entries(archive)
    config = json.loads(files[CONFIG])
    config["config"]["conv.weight"] |= {key: value for key, value in fields.items() if key == "use_pickle"}
    meta = {key: value for key, value in fields.items() if key != "use_pickle"}
    config["config"]["conv.weight"]["tensor_meta"] |= meta
    return zipped(files | {CONFIG: json.dumps(config).encode()})


@pytest.mark.parametrize(
    "fields",
    [
        {"sizes": [{"as_int": 1 << 40}]},
        {"sizes": [{"as_expr": {"expr_str": "s0"}}]},
        {"sizes": [{"as_int": 8}] * 2000},
        {"strides": [{"as_int": 1 << 61}] * 4},
        {"storage_offset": {"as_int": 1}},
    ],
)
def test_sizes_that_do_not_fit_are_an_error(archive: bytes, fields: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError):
        read(changed(archive, **fields))


@pytest.mark.parametrize("fields", [{"dtype": 33}, {"dtype": "float"}, {"use_pickle": True}])
def test_other_tensors_are_unreadable(archive: bytes, fields: dict[str, Any]) -> None:
    tensor = read(changed(archive, **fields))["conv.weight"]
    assert (tensor.location, tensor.reason) == (None, "unreadable")


@settings(max_examples=50)
@given(st.data())
def test_damage_ends_in_an_error_of_filtercrawl(archive: bytes, data: st.DataObject) -> None:
    with suppress(CheckpointError):
        list(READER.tensors(OneFile(MemoryFile(data.draw(damaged(archive)), "net.pt2"))))


def test_sync_reads_exported_programs(archive: bytes, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "net.pt2").write_bytes(archive)
    run_sync()
    assert {(row["layer"], row["op"]) for row in table(dataset, "index")} == {
        ("conv", "conv2d"), ("depthwise", "conv2d"), ("up", "conv_transpose2d"), ("small", "conv2d"),
        ("centered", "conv2d"), ("blur", "conv2d"),
    }  # fmt: skip
    expected = torch.export.load(io.BytesIO(archive)).state_dict["up.weight"].detach()
    kernel = np.concatenate([half.transpose(0, 1).numpy() for half in expected.split(4)])
    assert np.array_equal(layers(dataset)["local/net.pt2#up.weight"], kernel)
