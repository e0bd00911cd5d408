"""A small zoo under names of timm, with metadata and structure: what the examples of docs/loading.md ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from filtercrawl.api import Checkpoint, CheckpointMetadata, Query, RemoteFile, TrainingRun, Transport
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.extraction.architecture import on_meta
from filtercrawl.pipeline.sync import SyncContext as SyncRun
from filtercrawl.pipeline.sync import sync
from support.plugins import declared, entry
from support.zoo_files import put

SOBEL = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
META = {
    "convnext_tiny.fb_in22k": CheckpointMetadata(training_datasets=("imagenet-22k",)),
    "convnext_tiny.fb_in22k_ft_in1k": CheckpointMetadata(training_datasets=("imagenet-22k", "imagenet-1k")),
    "resnet18.a1_in1k": CheckpointMetadata(training_datasets=("imagenet-1k",)),
    "unet.carvana": CheckpointMetadata(training_datasets=("carvana",), task="image-segmentation"),
}


def network(architecture: str) -> nn.Module:
    layers: list[nn.Module]
    if architecture == "convnext_tiny":
        layers = [nn.Conv2d(3, 16, 4, 4), nn.Conv2d(16, 16, 7, padding=3, groups=16), nn.Conv2d(16, 8, 3)]
    else:
        layers = [nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3), nn.Conv2d(32, 16, 3), nn.BatchNorm2d(16)]
    return nn.Sequential(*layers)


@dataclass
class Zoo:
    """A source of its own files that builds their networks."""

    folder: Path
    name: str = "timm"

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Checkpoint]:
        for name, meta in META.items():
            architecture, _, tag = name.partition(".")
            file = self.folder / f"{name}.safetensors"
            about = CheckpointMetadata(
                task=meta.task or "image-classification",
                training_datasets=meta.training_datasets,
                architecture=architecture,
                tag=tag,
            )
            url = RemoteFile(url=file.as_uri(), path=file.name)
            yield Checkpoint(name=name, files=(url,), meta=about, run=TrainingRun(id=name, final=True))

    def build(self, checkpoint: Checkpoint) -> nn.Module:
        return on_meta(lambda: network(checkpoint.meta.architecture or ""))

    def sample(self, checkpoint: Checkpoint, module: nn.Module) -> tuple[torch.Tensor, ...]:
        return (torch.empty(1, 3, 64, 64, device="meta"),)


def loading_dataset(folder: Path) -> Path:
    """Sync the zoo; resnet18 holds a Sobel filter at 5:7 of its second layer, unet 16 dead kernels in its third."""
    zoo, dataset = folder / "zoo", folder / "dataset"
    states = {}
    for name in META:
        architecture, _, tag = name.partition(".")
        torch.manual_seed(len(architecture))
        module = network(architecture)
        with torch.no_grad():
            if tag == "fb_in22k_ft_in1k":
                for parameter in module.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.3 * parameter.std())
            if architecture == "resnet18":
                module[1].weight[5, 7] = 3 * SOBEL  # type: ignore[index]  # a Sequential
            if architecture == "unet":
                module[2].weight[4, :16] *= 1e-6  # type: ignore[index]
        states[name] = module.state_dict()
        put(zoo / f"{name}.safetensors", states[name])
    with pytest.MonkeyPatch.context() as patch:
        plugins = load_plugins([*declared("timm"), entry(patch, "timm", filtercrawl_sources=lambda: iter([Zoo(zoo)]))])
        report = sync(
            ["timm"], SyncRun(settings=Settings(dataset=dataset, device="cpu", engine="threads"), plugins=plugins)
        )
    assert report.failures == {}
    return dataset
