"""What the graph proves reaches the dataset: real architectures, random weights, every layer against its module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from conftest import Sync
from filtercrawl.api import Checkpoint, CheckpointMetadata, Query, RemoteFile, Transport
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.extraction.architecture import on_meta, structure_rows, trace
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl_publish.verification import verify_folder
from support.architecture_reference import FAMILIES, graph_depths
from support.plugins import BUNDLED, entry, instead
from support.zoo_files import layers, put, state, table

# A plain network, one with banks of kernels, one with depthwise convolutions, and one that joins branches.
FAST = {"resnet18", "tf_efficientnet_cc_b0_4e", "shufflenet_v2_x0_5", "squeezenet1_1"}
# 30 families of timm and 10 of torchvision; most take seconds, and vgg's half a gigabyte would take a minute.
NAMES = [*((library, name) for library, name in FAMILIES if name != "vgg11"), ("timm", "edgenext_xx_small")]
CASES = [
    pytest.param(library, name, id=name, marks=() if name in FAST else pytest.mark.exhaustive)
    for library, name in NAMES
]
OPS = {nn.Conv1d: "conv1d", nn.Conv2d: "conv2d", nn.Conv3d: "conv3d", nn.ConvTranspose2d: "conv_transpose2d"}


def made(architecture: str) -> nn.Module:
    if ("timm", architecture) in NAMES:
        return timm.create_model(architecture, pretrained=False)
    extra = {"weights_backbone": None} if architecture.startswith(("fcn", "lraspp")) else {}
    extra |= {"init_weights": False} if architecture == "googlenet" else {}
    return torchvision.models.get_model(architecture, weights=None, **extra)


def sample(architecture: str) -> tuple[torch.Tensor, ...] | None:
    """A clip for the network that takes clips."""
    return (torch.empty(1, 3, 16, 112, 112, device="meta"),) if architecture == "r3d_18" else None


class Lab:
    """A source of its own files that knows their architectures."""

    name = "lab"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint]:
        for path in sorted(self.folder.iterdir()):
            file = RemoteFile(url=path.as_uri(), path=path.name)
            yield Checkpoint(name=path.name, files=(file,), meta=CheckpointMetadata(architecture=path.stem))

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        return on_meta(lambda: made(checkpoint.meta.architecture or ""))

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[torch.Tensor, ...] | None:
        return sample(checkpoint.meta.architecture or "")


def check_separable_pairs(rows: list[dict[str, Any]]) -> None:
    by_id = {row["layer_id"]: row for row in rows}
    for row in rows:
        if row["pointwise_follower"] is not None:
            follower = by_id[row["pointwise_follower"]]
            assert row["depthwise"]
            assert (follower["model_id"], follower["taps"]) == (row["model_id"], 1)


def check_places(architecture: str, index: dict[tuple[str, int | None], dict[str, Any]]) -> None:
    columns = ("is_first", "is_last", "is_patchify", "is_stem", "is_last_spatial", "is_downsampling")
    rows = structure_rows(trace(on_meta(lambda: made(architecture)), sample(architecture)))
    for row in rows:
        stored = index[row["tensor"], row["bank_index"]]
        assert {name: stored[name] for name in columns} == {name: row[name] for name in columns}
    assert any(row["is_stem"] for row in rows)
    assert any(row["is_last_spatial"] for row in rows)


@pytest.mark.parametrize(("library", "architecture"), CASES)
def test_layers_are_those_of_the_modules(
    library: str, architecture: str, zoo: Path, dataset: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module = made(architecture).eval()
    state_dict = module.state_dict()
    if architecture in FAST:
        torch.save(state_dict, zoo / f"{architecture}.pth")
    save_file({name: tensor.clone() for name, tensor in state_dict.items()}, zoo / f"{architecture}.safetensors")
    plugins = load_plugins([*BUNDLED, entry(monkeypatch, "lab", filtercrawl_sources=lambda: iter([Lab(zoo)]))])
    plugins = instead(plugins, measures=())  # they take most of the time
    report = run_sync("lab", plugins=plugins, kernel_size="all")
    assert report.failures == {}
    every_row = table(dataset, "index")
    kept = f"lab/{architecture}.{'pth' if architecture in FAST else 'safetensors'}"
    index = {(row["tensor"], row["bank_index"]): row for row in every_row if row["model_id"] == kept}
    if architecture in FAST:  # the same network in the other format: the same layers, stored once
        same = {(row["tensor"], row["bank_index"]): row for row in every_row if row["model_id"] != kept}
        ours = ("model_id", "layer_id", "row_id", "file", "row_group", "duplicate_of", "pointwise_follower")
        assert same.keys() == index.keys()
        for key, row in index.items():
            assert same[key] | {name: row[name] for name in ours} == row
        assert {row["file"] for row in same.values()} == {None}
    check_separable_pairs(every_row)
    check_places(architecture, index)
    stored = layers(dataset)
    for name, conv in module.named_modules(remove_duplicate=False):
        if isinstance(conv, nn.modules.conv._ConvNd):
            row = index[f"{name}.weight", None]
            want: dict[str, Any] = {
                "op": next(op for kind, op in OPS.items() if isinstance(conv, kind)),
                "groups": conv.groups,
                "stride": list(conv.stride),
                "dilation": list(conv.dilation),
                "in_channels": conv.in_channels,
                "out_channels": conv.out_channels,
                "layer": name,
                "depthwise": conv.groups > 1 and conv.in_channels == conv.groups,
                "operator_verified": True,
                "structure_source": "module",
            }
            assert row | want == row
            assert np.array_equal(stored[row["layer_id"]], state_dict[f"{name}.weight"].numpy())
    every = [conv for _, conv in module.named_modules(remove_duplicate=False)]
    convolutions = sum(isinstance(conv, nn.modules.conv._ConvNd) for conv in every)
    banks = {name for name, bank in index if bank is not None}
    assert len(index) == convolutions + sum(state_dict[name].shape[0] for name in banks)
    assert bool(banks) == ("_cc_" in architecture)
    for name, bank in index:
        if bank is not None:
            row = index[name, bank]
            assert row["layer_id"].endswith(f"#{name}@{bank}")
            assert row["weight_kind"] == "dynamic_bank"
            assert np.array_equal(stored[row["layer_id"]].ravel(), state_dict[name][bank].numpy())
    # What eval mode never reaches has no depth: the auxiliary heads of googlenet.
    reached = [row for row in index.values() if row["conv_depth"] is not None]
    assert len(index) - len(reached) == (2 if architecture == "googlenet" else 0)
    deepest = max(row["conv_depth"] for row in reached)
    for row in reached:
        assert row["conv_depth_norm"] == (row["conv_depth"] / deepest if deepest else 0.0)
        assert row["is_first"] == (row["conv_depth"] == 0)
    for name, found in graph_depths(made(architecture).to("meta"), sample(architecture)).items():
        row = index[name, 0 if name in banks else None]
        assert (row["conv_depth"], row["n_conv_ancestors"]) == found, name
    assert list(verify_folder(dataset)) == []


class Broken(Lab):
    """A source whose network cannot be built."""

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        raise ValueError("no such layer")


class Heard:
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, line: str) -> None:
        self.lines.append(line)

    def start(self, total: int) -> None: ...

    def done(self, model_id: str, what: str) -> None: ...


def test_without_a_graph_the_bytes_speak_and_the_run_says_why(
    zoo: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(zoo / "net.safetensors", state())
    plugins = load_plugins([*BUNDLED, entry(monkeypatch, "lab", filtercrawl_sources=lambda: iter([Broken(zoo)]))])
    heard = Heard()
    report = sync(
        ["lab"],
        SyncContext(
            settings=Settings(dataset=dataset, device="cpu", engine="threads"), plugins=plugins, progress=heard
        ),
    )
    assert (report.failures, report.layers) == ({}, 2)
    assert [line for line in heard.lines if "no such layer" in line and "lab/net.safetensors" in line]
    assert {row["operator_verified"] for row in table(dataset, "index")} == {False}
