"""A fully connected layer that is stored as a convolution is not fetched, unless all layers are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import nn

from conftest import NOW
from filtercrawl.api import Checkpoint, CheckpointMetadata, Query, RemoteFile, Transport
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import NetworkSettings, Settings
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.extraction.architecture import on_meta
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions
from support.http_server import FileServer
from support.plugins import BUNDLED, entry


class Classifier(nn.Module):
    """The head of VGG, as timm stores it: its first layer is a convolution as large as the map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.fc1 = nn.Conv2d(4, 512, 16)
        self.fc2 = nn.Conv2d(512, 10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        head: torch.Tensor = self.fc2(torch.relu(self.fc1(torch.relu(self.stem(x)))))
        return head.flatten(1)


class Lab:
    """A source of one file that knows its architecture."""

    name = "lab"

    def __init__(self, url: str, size: int) -> None:
        self.file = RemoteFile(url=url, size=size, path="vgg.safetensors")

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint]:
        meta = CheckpointMetadata(architecture="vgg")
        yield Checkpoint(name="vgg", revision="1", files=(self.file,), meta=meta)

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        return on_meta(Classifier)

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[torch.Tensor, ...]:
        return (torch.empty(1, 3, 16, 16, device="meta"),)


def dense_row(dataset: Path) -> dict[str, Any]:
    (row,) = (row for row in DatasetFolder(dataset).rows("index") if row["tensor"] == "fc1.weight")
    return row


def test_a_dense_layer_is_fetched_only_where_all_layers_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Classifier().state_dict()
    data = save(weights)
    dense_bytes = weights["fc1.weight"].nbytes
    dataset = tmp_path / "dataset"
    with FileServer() as server:
        url = server.put("/vgg.safetensors", data)
        mine = entry(monkeypatch, "lab", filtercrawl_sources=lambda: iter([Lab(url, len(data))]))

        def crawl(policy: str) -> SyncReport:
            settings: dict[str, Any] = {"dataset": dataset, "device": "cpu", "kernel_size": policy}
            transport = network(
                NetworkSettings(cache=tmp_path / "cache" / policy), options=TransportOptions(fixed_gap=0)
            )
            run = SyncContext(
                settings=Settings(**settings), plugins=load_plugins([*BUNDLED, mine]), transport=transport, now=NOW
            )
            return sync(["lab"], run)

        by_default = crawl("spatial")
        assert by_default.failures == {}
        assert by_default.bytes_fetched < len(data) - dense_bytes + 100_000
        row = dense_row(dataset)
        assert (row["weight_kind"], row["file"], row["layer_sha256"]) == ("dense_as_conv", None, None)
        reasons = {row["tensor"]: row["reason"] for row in DatasetFolder(dataset).rows("ledger")}
        assert (reasons["fc1.weight"], reasons["fc2.weight"], reasons["stem.weight"]) == ("dense", "pointwise", None)
        assert next(DatasetFolder(dataset).rows("models"))["n_layers"] == 1
        in_full = crawl("all")
        assert in_full.bytes_fetched >= dense_bytes
        row = dense_row(dataset)
        assert row["weight_kind"] == "dense_as_conv"
        assert row["file"] is not None
