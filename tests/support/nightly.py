"""A nightly job over a small zoo: the real client against a Hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.dataset.schema.version_order import release_order
from filtercrawl.transport import network
from filtercrawl_publish.repository.open import open_repository
from support.hub.server import HubServer
from support.plugins import instead
from support.zoo_files import put, state

REPO = "acme/kernels"
ZOO = ("hub:org/*", "hub:other/*")
DAY = 86400
MONDAY = 1_780_000_000
FIRST = "v2026.05.29"


@dataclass
class Job:
    """A nightly job: each machine is a folder, each night a day later."""

    plugins: Plugins
    hub: HubServer
    tmp: Path
    set_day: Callable[[int], None]
    night: int = 0
    record: dict[str, Any] = field(default_factory=dict)
    output: str = ""

    def __call__(self, *options: str, machine: str | None = None, zoo: tuple[str, ...] = ZOO) -> int:
        """Run one night, by default on an empty machine; returns the exit code, or raises the error."""
        self.night += 1
        self.set_day(self.night)
        self.folder = self.tmp / (machine or f"machine-{self.night}")
        self.hub.forget()
        arguments = ["release", REPO, *zoo, "--dataset", str(self.folder), "--device", "cpu", *options]
        result = CliRunner().invoke(build(self.plugins), arguments)
        run = self.folder / "analysis/run.json"
        self.record = json.loads(run.read_bytes()) if run.is_file() else {}
        self.output = result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code

    def versions(self) -> list[str]:
        return sorted(self.hub.datasets[REPO].tags, key=release_order) if REPO in self.hub.datasets else []

    def published(self, revision: str | None = None) -> Path:
        """Everything of a version, in a folder."""
        repo = open_repository(REPO, network())
        commit = repo.resolve(revision)
        folder = self.tmp / f"published-{commit[:8]}"
        repo.fetch([path for path in repo.files(commit) if path[0] != "."], commit, folder)
        return folder

    def asked_of_zoo(self) -> set[str]:
        return {asked.kind for asked in self.hub.log if asked.path.startswith(("/api/models", "/org/"))}

    def fetched_layers(self) -> set[str]:
        """The files of layers that were fetched before the commit, which is loaded back and so proven."""
        before = list(takewhile(lambda asked: "/commit/" not in asked.path, self.hub.log))
        return {asked.path for asked in before if "/resolve/" in asked.path and "data/layers/" in asked.path}


def place(hub: HubServer, folder: Path, name: str, seed: int, org: str = "org") -> None:
    """Put a network into the zoo, or a new one into its place."""
    tensors = state(seed) | folded(seed)
    files = {"model.safetensors": put(folder / "made.safetensors", tensors).read_bytes()}
    (hub.commit if f"{org}/{name}" in hub.repos else hub.create)(f"{org}/{name}", files)


def folded(seed: int) -> dict[str, torch.Tensor]:
    """A convolution and the batch normalization that follows it."""
    generator = torch.Generator().manual_seed(seed)
    names = ("weight", "bias", "running_mean", "running_var")
    normalization = {f"features.1.{name}": torch.rand(4, generator=generator) for name in names}
    return {"features.0.weight": torch.randn(4, 3, 3, 3, generator=generator), **normalization}


def opened(plugins: Plugins, hub: HubServer, folder: Path, patch: pytest.MonkeyPatch) -> Job:
    # One analysis: the others take seconds each, and have tests of their own.
    few = instead(plugins, analyses=tuple(a for a in plugins.analyses if a.name == "census"))
    patch.setenv("HF_ENDPOINT", hub.url)
    return Job(few, hub, folder, lambda night: patch.setenv("SOURCE_DATE_EPOCH", str(MONDAY + DAY * night)))
